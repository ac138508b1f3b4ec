"""`python -m dev.demo`, as `make demo` runs it: without a terminal it tells the story and ends."""

import os
import pty
import re
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from dev.demo import AUTH_PORT, DemoError, planned_port
from tests.support.databases import Database
from tests.support.environment import without_our_settings

ROOT = Path(__file__).parents[2]
DEADLINE_SECONDS = 120
# A token before its signature, a signature.
CREDENTIAL = re.compile(r"[a-zA-Z0-9]{32}\.|[A-Za-z0-9+/]{43}(=|%3D)")


def demo(output: int, settings: dict[str, str]) -> subprocess.Popen[str]:
    """It leads a session of its own, in which its children stay."""
    return subprocess.Popen(
        [sys.executable, "-m", "dev.demo"],
        cwd=ROOT,
        env={**without_our_settings(), **settings},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def processes_of(session: int) -> list[str]:
    found: list[str] = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, ProcessLookupError):
            if os.getsid(process.pid) == session:
                found.append(process.name())
    return found


@pytest.mark.parametrize("has_database", [False, True])
def test_the_story_goes_as_it_should_and_leaves_nothing(database: Database, has_database: bool) -> None:
    who = database.sign_in()
    tables = "SELECT table_schema, table_name FROM information_schema.tables ORDER BY 1, 2"
    before = database.fetch(tables)
    with demo(subprocess.PIPE, {"DATABASE_URL": database.dsn} if has_database else {}) as process:
        told, errors = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 0, told + errors
    assert "The story went as it should." in told
    assert processes_of(process.pid) == []
    ports = {int(port) for port in re.findall(r"demo: .*:(\d+)$", told, re.MULTILINE)}
    assert len(ports) == (2 if has_database else 3)
    assert not CREDENTIAL.search(told + errors)
    assert database.dsn not in told + errors
    for port in ports:
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0
    assert database.fetch(tables) == before
    assert database.fetch('SELECT id FROM "user"') == [(who.user_id,)]


@pytest.fixture
def terminal() -> Generator[int]:
    ours, theirs = pty.openpty()
    yield theirs
    os.close(ours)
    os.close(theirs)


def test_a_taken_port_is_named(terminal: int) -> None:
    """On a terminal it wants the ports that its frontend knows."""
    with socket.socket() as taken:
        # Somebody else may have it already, which is as good.
        with suppress(OSError):
            taken.bind(("127.0.0.1", AUTH_PORT))
            taken.listen()
        with demo(terminal, {}) as process:
            _, errors = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 1
    assert f"port {AUTH_PORT}, wanted for the auth-service, is taken" in errors


def test_a_port_counts_as_taken_while_somebody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(DemoError, match=f"port {port}, wanted for the backend"):
            planned_port(port, "the backend")
    assert planned_port(port, "the backend") == port
