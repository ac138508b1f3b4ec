"""What it takes to have it: time to start, time to import, bytes on disk."""

import importlib.metadata
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from benches import credentials
from benches.servers import Server
from benches.stage import Stage
from benches.turns import turns
from dev.processes import ChildProcess, ProcessFailed

STARTING = ("nothing", "always", "by_hand", "bridge")
# What each imports beside FastAPI, which all of them have, and what pip installs for it.
IMPORTED: Mapping[str, str] = {
    "ours": "auth_middleware",
    "by_hand": "asyncpg",
    "bridge": "fastapi_better_auth, sqlalchemy.ext.asyncio, asyncpg",
}
INSTALLED: Mapping[str, Sequence[str]] = {
    "by_hand": ["asyncpg"],
    "bridge": [
        *("fastapi-better-auth-bridge", "sqlalchemy", "greenlet", "asyncpg"),
        *("pyjwt", "cryptography", "cffi", "pycparser"),
    ],
}
WHEELS = Path("target", "bench", "wheels")
TIMEOUT_SECONDS = 30


def cold_starts(stage: Stage, rounds: int) -> Mapping[str, list[float]]:
    """Seconds from the start of the process to its answer to somebody who is signed in."""
    headers = credentials.session_cookies(dict([next(iter(stage.people.items()))]))
    done: dict[str, list[float]] = {name: [] for name in STARTING}
    for turn in turns(STARTING, rounds, 0):
        seconds = _until_answered(Server(turn.contender, stage, headers))
        if turn.is_counted:
            done[turn.contender].append(seconds)
    return done


def imports(rounds: int) -> Mapping[str, list[float]]:
    """Seconds, in a process that has imported FastAPI."""
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
    """Ours, as pip would get it."""
    for old in WHEELS.glob("*.whl"):
        old.unlink()
    command = ["maturin", "build", "--release", "--locked", "--quiet", "--out", str(WHEELS)]
    subprocess.run([Path(sys.executable).with_name(command[0]), *command[1:]], check=True)
    (built,) = WHEELS.glob("*.whl")
    return built


def installed_bytes(built: Path) -> Mapping[str, int]:
    """On disk, without what FastAPI brings along."""
    with zipfile.ZipFile(built) as archive:
        ours = sum(member.file_size for member in archive.infolist())
    return {"ours": ours, **{name: sum(map(_bytes_of, packages)) for name, packages in INSTALLED.items()}}


def _bytes_of(package: str) -> int:
    files = importlib.metadata.files(package) or []
    located = [Path(str(file.locate())) for file in files if file.suffix != ".pyc"]
    return sum(file.stat().st_size for file in located if file.is_file())


def _until_answered(server: Server) -> float:
    """Asked by hand: a client of our own would take its time, too."""
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
        raise ProcessFailed(f"{server.contender} did not answer: {process.last_output()}")
