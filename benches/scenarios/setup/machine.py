"""The machine and the versions that a run was made with."""

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path

from benches.scenarios.setup.environment import USES_DEBIANS_POSTGRES, VERSION, Environment
from dev import node
from dev.postgres import DEBIAN_15, fetch

PACKAGES = (
    *("fastapi", "starlette", "pydantic", "uvicorn", "uvloop", "httptools", "httpx"),
    *("asyncpg", "psqlpy", "fastapi-better-auth-bridge", "sqlalchemy", "PyJWT", "cryptography"),
)


def machine(env: Environment) -> Mapping[str, str]:
    """A description without host names or paths."""
    postgres = "Debian's" if USES_DEBIANS_POSTGRES else f"from a wheel; Debian's is used if it is in {DEBIAN_15}"
    ((server_version,),) = fetch(env.dsn, "SELECT split_part(version(), ' ', 2)")
    return {
        "processor": f"{_processor()}, {os.cpu_count()} CPUs shared by clients, servers and PostgreSQL",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.freedesktop_os_release()['PRETTY_NAME']}, {platform.system()} {platform.release()}",
        "PostgreSQL": f"{server_version} ({postgres}), over TCP on the loopback interface",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "Rust": _first_line("rustc", "--version"),
        "wrk": _first_line("wrk", "-v").partition(" Copyright")[0],
        "Better Auth": f"{VERSION}, Node {_first_line(str(node.node()), '--version')}",
        "packages": ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES),
        "commit": commit(),
    }


def commit() -> str:
    """With a mark if the files differ from it."""
    return _first_line("git", "describe", "--always", "--dirty", "--exclude=*")


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def _first_line(*command: str) -> str:
    # wrk exits with a failure after printing its version.
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()[0]
