"""Where and with what a run was made."""

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path

from benches.stage import DEBIAN_15, IS_DEBIANS, VERSION, Stage
from dev import node
from dev.postgres import fetch

PACKAGES = (
    *("fastapi", "starlette", "pydantic", "uvicorn", "uvloop", "httptools", "httpx"),
    *("asyncpg", "psqlpy", "fastapi-better-auth-bridge", "sqlalchemy", "PyJWT", "cryptography"),
)


def machine(stage: Stage) -> Mapping[str, str]:
    """In words, without anything that names this machine."""
    postgres = "Debian's own" if IS_DEBIANS else f"from a wheel; Debian's would be used if it were in {DEBIAN_15}"
    ((server_version,),) = fetch(stage.dsn, "SELECT split_part(version(), ' ', 2)")
    return {
        "processor": f"{_processor()}, {os.cpu_count()} CPUs that clients, servers and PostgreSQL share",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.freedesktop_os_release()['PRETTY_NAME']}, {platform.system()} {platform.release()}",
        "PostgreSQL": f"{server_version} ({postgres}), by TCP on the loopback",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "Rust": _first_line("rustc", "--version"),
        "wrk": _first_line("wrk", "-v").partition(" Copyright")[0],
        "Better Auth": f"{VERSION}, Node {_first_line(str(node.node()), '--version')}",
        "packages": ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES),
        "commit": _first_line("git", "describe", "--always", "--dirty", "--exclude=*"),
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def _first_line(*command: str) -> str:
    # wrk tells its version with a failure.
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()[0]
