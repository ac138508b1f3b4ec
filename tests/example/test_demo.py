"""make demo: it tells the story, ends with its status, and leaves no process."""

import os
import pty
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Self

import httpx
import pytest

from dev import demo, node, stack
from dev.postgres import EmbeddedPostgres, fetch
from dev.processes import ChildProcess, free_port, is_free


@pytest.fixture
def mark() -> str:
    """In the environment of a demo and so, as nobody takes it out, in that of every process below it."""
    return secrets.token_hex(8)


def start(mark: str, **environment: str) -> ChildProcess:
    node.install(stack.AUTH_SERVICE)
    node.install(stack.FRONTEND)
    command = [sys.executable, "-m", "dev.demo"]
    return ChildProcess("demo", command, cwd=stack.ROOT, env={**with_mark(mark), **environment})


def with_mark(mark: str) -> dict[str, str]:
    return {**stack.clean(os.environ), "DEMO_TEST_MARK": mark}


def marked(mark: str) -> dict[int, str]:
    """The processes that carry the mark, with their command lines."""
    found: dict[int, str] = {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or is not ours to look at
            if mark.encode() in process.joinpath("environ").read_bytes():
                found[int(process.name)] = process.joinpath("cmdline").read_text().replace("\0", " ")
    return found


def left_over(mark: str) -> list[str]:
    return list(marked(mark).values())


def wait_for(process: ChildProcess, text: str) -> None:
    process.wait_until(lambda: text in process.last_output(), timeout_seconds=300)


def test_without_a_terminal_it_tells_the_story_and_leaves_nothing(mark: str) -> None:
    with start(mark) as running:
        assert running.wait(600) == 0, running.last_output()
    assert running.last_output().endswith("The story went as it should.")
    assert left_over(mark) == []


def test_in_a_database_of_ones_own_it_leaves_nothing_either(mark: str, postgres: EmbeddedPostgres) -> None:
    dsn = postgres.create_database("demo_of_my_own")
    with start(mark, DATABASE_URL=dsn) as running:
        assert running.wait(600) == 0, running.last_output()
    assert left_over(mark) == []
    schemas = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'auth_middleware_demo_%'"
    assert fetch(dsn, schemas) == [(0,)]
    assert fetch(dsn, "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'") == [(0,)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_in_the_middle_it_takes_everything_down(mark: str, number: signal.Signals) -> None:
    with start(mark) as running:
        wait_for(running, "frontend is healthy")
        assert len(left_over(mark)) >= 5  # the demo, PostgreSQL, three services
        os.kill(running.pid, number)
        assert running.wait(60) == 128 + number
    assert left_over(mark) == []


ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class Terminal:
    """A demo on a terminal. `ports` replace the plan's, which may be taken on this machine.

    `shown` is what it wrote; `said` is the same without colours and moving lines.
    """

    def __init__(self, mark: str, ports: Mapping[str, int], program: str = "") -> None:
        node.install(stack.AUTH_SERVICE)
        node.install(stack.FRONTEND)
        self.shown = self.said = ""
        program = program or f"import sys; from dev import demo; demo.PORTS = {dict(ports)}; sys.exit(demo.main())"
        self._screen, theirs = pty.openpty()
        self.demo = subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=stack.ROOT,
            env=with_mark(mark),
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.interrupt()
        self.read_to_the_end()
        os.close(self._screen)

    def interrupt(self) -> None:
        """Ctrl-C: the terminal sends it to the whole process group."""
        with suppress(ProcessLookupError):
            os.killpg(self.demo.pid, signal.SIGINT)

    def read_until(self, text: str) -> None:
        while text not in self.said:
            assert self._read(), f"it ended without saying {text!r}:\n{self.said}"

    def read_to_the_end(self) -> int:
        """Returns the exit status."""
        while self._read():
            pass
        return self.demo.wait(60)

    def _read(self) -> bool:
        with suppress(OSError):  # Linux's way to say that nobody writes any more
            read = os.read(self._screen, 10_000).decode(errors="replace")
            self.shown += read
            self.said = ESCAPES.sub("", self.shown)
            return bool(read)
        return False


def free_ports() -> dict[str, int]:
    return {name: free_port() for name in demo.PORTS}


def test_on_a_terminal_it_stays_up_until_ctrl_c(mark: str) -> None:
    ports = free_ports()
    with Terminal(mark, ports) as terminal:
        link = f"http://localhost:{ports['frontend']}"
        terminal.read_until(f"\r\nOpen {link}\r\n")
        assert terminal.said.startswith(f"The page will be at {link}\r\n")
        assert "The story went as it should." in terminal.said
        assert "\x1b[1;36m" in terminal.shown
        assert "handshake" not in terminal.said
        for name, path in (("auth-service", "/health"), ("backend", "/health"), ("frontend", "/login")):
            url = f"http://localhost:{ports[name]}{path}"
            assert httpx.get(url, headers={"Accept": "text/html"}, trust_env=False).status_code == 200
        terminal.interrupt()
        assert terminal.read_to_the_end() == 0
        assert terminal.said.endswith("Stopped. Nothing is left running; `make demo` starts it again.\r\n")
    assert left_over(mark) == []
    assert all(is_free(port) for port in ports.values())


def test_when_a_service_ends_so_does_everything_and_it_is_said(mark: str) -> None:
    with Terminal(mark, free_ports()) as terminal:
        terminal.read_until("\r\nOpen ")
        [backend] = [pid for pid, command in marked(mark).items() if "uvicorn" in command]
        os.kill(backend, signal.SIGKILL)
        assert terminal.read_to_the_end() == 1
        assert "demo: backend exited" in terminal.said
    assert left_over(mark) == []


@pytest.mark.parametrize("name", ["auth-service", "backend", "frontend"])
def test_on_a_terminal_a_taken_port_is_named_before_anything_starts(mark: str, name: str) -> None:
    ports = free_ports()
    with closing(socket.create_server(("127.0.0.1", ports[name]))), Terminal(mark, ports) as terminal:
        assert terminal.read_to_the_end() == 1
        assert terminal.said == (
            f"demo: port {ports[name]} for the {name} is in use: stop the program that listens on it\r\n"
        )
    assert left_over(mark) == []


def test_a_mistake_in_database_url_is_said_without_the_password(mark: str) -> None:
    began = time.monotonic()
    with start(mark, DATABASE_URL="mysql://me:geheim-wort@127.0.0.1/none") as running:
        assert running.wait(60) == 1
    assert "Set DATABASE_URL to a postgresql:// URL" in running.last_output()
    assert "geheim" not in running.last_output()
    assert time.monotonic() - began < 30
