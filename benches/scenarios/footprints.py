"""Start-up time, import time and size on disk."""

import importlib.metadata
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from benches.scenarios.setup import credentials
from benches.scenarios.setup.environment import Environment
from benches.scenarios.setup.rounds import turns
from benches.scenarios.setup.servers import Server
from dev.processes import ChildProcess, ProcessFailed

STARTED = ("empty_dependency", "always", "hand_written", "bridge")
# What each imports in addition to FastAPI, and the packages that pip installs for it.
IMPORTED: Mapping[str, str] = {
    "ours": "auth_middleware",
    "hand_written": "asyncpg",
    "bridge": "fastapi_better_auth, sqlalchemy.ext.asyncio, asyncpg",
}
INSTALLED: Mapping[str, Sequence[str]] = {
    "hand_written": ["asyncpg"],
    "bridge": [
        *("fastapi-better-auth-bridge", "sqlalchemy", "greenlet", "asyncpg"),
        *("pyjwt", "cryptography", "cffi", "pycparser"),
    ],
}
WHEELS = Path("target", "bench", "wheels")
TIMEOUT_SECONDS = 30


def cold_starts(env: Environment, rounds: int) -> Mapping[str, list[float]]:
    """Seconds from the start of the process to its first response to a signed-in user."""
    headers = credentials.session_cookies(dict([next(iter(env.users.items()))]))
    done: dict[str, list[float]] = {name: [] for name in STARTED}
    for turn in turns(STARTED, rounds, 0):
        seconds = _seconds_to_first_response(Server(turn.contender, env, headers))
        if turn.is_counted:
            done[turn.contender].append(seconds)
    return done


def imports(rounds: int) -> Mapping[str, list[float]]:
    """Import time in seconds, in a process that has already imported FastAPI."""
    done: dict[str, list[float]] = {name: [] for name in IMPORTED}
    for turn in turns(list(IMPORTED), rounds, 0):
        program = (
            "import time, fastapi; before = time.perf_counter();"
            f" import {IMPORTED[turn.contender]}; print(time.perf_counter() - before)"
        )
        seconds = float(subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=True).stdout)
        if turn.is_counted:
            done[turn.contender].append(seconds)
    return done


def wheel() -> Path:
    """Builds our wheel."""
    for old in WHEELS.glob("*.whl"):
        old.unlink()
    command = ["maturin", "build", "--release", "--locked", "--quiet", "--out", str(WHEELS)]
    subprocess.run([Path(sys.executable).with_name(command[0]), *command[1:]], check=True)
    (built,) = WHEELS.glob("*.whl")
    return built


def installed_bytes(built: Path) -> Mapping[str, int]:
    """Size on disk, without FastAPI and its dependencies."""
    with zipfile.ZipFile(built) as archive:
        ours = sum(member.file_size for member in archive.infolist())
    return {"ours": ours, **{name: sum(map(_bytes_of, packages)) for name, packages in INSTALLED.items()}}


def _bytes_of(package: str) -> int:
    files = importlib.metadata.files(package) or []
    located = [Path(str(file.locate())) for file in files if file.suffix != ".pyc"]
    return sum(file.stat().st_size for file in located if file.is_file())


def _seconds_to_first_response(server: Server) -> float:
    """Uses a plain socket, because an HTTP client would add its own time."""
    (header,) = server.headers.values()
    request = f"GET /me HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{header}\r\n\r\n".encode()
    started = time.perf_counter()
    with ChildProcess(server.contender, server.command, env=server.environment) as process:
        while time.perf_counter() - started < TIMEOUT_SECONDS and not process.has_exited():
            with suppress(ConnectionError), socket.create_connection(("127.0.0.1", server.port)) as connection:
                connection.sendall(request)
                if connection.recv(4096).startswith(b"HTTP/1.1 200"):
                    return time.perf_counter() - started
            time.sleep(0.001)
        raise ProcessFailed(f"{server.contender} did not respond: {process.last_output()}")
