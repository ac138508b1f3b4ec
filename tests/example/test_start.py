"""start.sh: the three services for somebody who has a database of their own."""

import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from dev import node, stack
from dev.postgres import EmbeddedPostgres
from dev.processes import ChildProcess, free_port, is_free

IGNORED = ("node_modules", "dist", ".env")


class Example:
    """A copy of the example, so that nobody's .env is touched; what npm installed is shared."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = {name: free_port() for name in ("AUTH_PORT", "API_PORT", "FRONTEND_PORT")}
        self.urls = [f"http://localhost:{port}" for port in self.ports.values()]
        self.mark = secrets.token_hex(8)
        for package in (stack.AUTH_SERVICE, stack.FRONTEND):
            node.install(package)
            self._copy(package, folder / package.name)
            (folder / package.name / "node_modules").symlink_to(package / "node_modules")
            # Older than what was installed: nothing has to be.
            os.utime(folder / package.name / "package-lock.json", (0, 0))
        self._copy(stack.BACKEND, folder / "backend")
        self._copy(stack.EXAMPLE / "deploy", folder / "deploy")
        self.script = folder / "start.sh"
        self.script.write_bytes((stack.EXAMPLE / "start.sh").read_bytes())
        self.script.chmod(0o755)

    def fill_in(self, dsn: str) -> None:
        auth_url, api_url, page_url = self.urls
        self._write(
            "auth-service",
            # An ampersand and a dollar: a shell that sourced this would choke on it.
            DATABASE_URL=f"{dsn}?application_name=a&connect_timeout=5",
            BETTER_AUTH_SECRET=secrets.token_hex(32),
            AUTH_BASE_URL=auth_url,
            FRONTEND_URL=page_url,
        )
        self._write(
            "frontend",
            VITE_API_BASE_URL=api_url,
            VITE_WEBSOCKET_URL=f"ws{api_url.removeprefix('http')}/ws",
            VITE_AUTH_URL=auth_url,
        )

    def start(self, **environment: str) -> ChildProcess:
        # Nothing has to be installed any more, so an npm by name will do.
        programs = self.folder / "programs"
        programs.mkdir(exist_ok=True)
        with suppress(FileExistsError):
            (programs / "npm").symlink_to("/bin/false")
        ours = {name: str(port) for name, port in self.ports.items()}
        clean = stack.clean(node.environment())
        path = f"{programs}{os.pathsep}{clean['PATH']}"
        env = {**clean, "PATH": path, "PYTHON": sys.executable, "START_MARK": self.mark, **ours, **environment}
        return ChildProcess("start.sh", [self.script], cwd=Path("/"), env=env)

    def left_over(self) -> list[str]:
        found: list[str] = []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it has ended, or is not ours to look at
                if self.mark.encode() in process.joinpath("environ").read_bytes():
                    found.append(process.joinpath("cmdline").read_text().replace("\0", " "))
        return found

    def _write(self, package: str, **settings: str) -> None:
        (self.folder / package / ".env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))

    def _copy(self, source: Path, target: Path) -> None:
        for path in source.rglob("*"):
            inside = path.relative_to(source)
            if path.is_file() and not set(inside.parts) & {*IGNORED, "__pycache__"}:
                (target / inside).parent.mkdir(parents=True, exist_ok=True)
                (target / inside).write_bytes(path.read_bytes())
                (target / inside).chmod(path.stat().st_mode)


@pytest.fixture(scope="module")
def dsn(postgres: EmbeddedPostgres) -> str:
    dsn = postgres.create_database("started_by_hand")
    stack.migrate(dsn, "tables")
    return dsn


@pytest.fixture
def example(tmp_path: Path) -> Generator[Example]:
    example = Example(tmp_path)
    yield example
    assert example.left_over() == []


def answers(url: str) -> bool:
    try:
        return httpx.get(url, headers={"Accept": "text/html"}, timeout=5, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def wait_for_all(example: Example, started: ChildProcess) -> None:
    auth_url, api_url, page_url = example.urls
    for url in (f"{auth_url}/health", f"{api_url}/health", f"{page_url}/login"):
        started.wait_until(lambda url=url: answers(url), timeout_seconds=60)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_starts_all_three_and_takes_all_three_down(example: Example, dsn: str, number: signal.Signals) -> None:
    example.fill_in(dsn)
    with example.start() as started:
        wait_for_all(example, started)
        said = started.last_output()
        assert all(f"[{name}] " in said for name in ("auth-service", "backend", "frontend"))
        os.kill(started.pid, number)
        assert started.wait(30) == 128 + number
        assert example.left_over() == []
    assert all(is_free(port) for port in example.ports.values())


def test_when_one_ends_so_do_the_others(example: Example, dsn: str) -> None:
    example.fill_in(dsn)
    with example.start() as started:
        wait_for_all(example, started)
        [backend] = [
            int(process.name)
            for process in Path("/proc").glob("[0-9]*")
            if str(example.ports["API_PORT"]) in command_line(process) and "uvicorn" in command_line(process)
        ]
        os.kill(backend, signal.SIGKILL)
        assert started.wait(30) == 1
        assert "the backend has ended, and so do the others" in started.last_output()


def command_line(process: Path) -> str:
    with suppress(OSError):
        return process.joinpath("cmdline").read_text()
    return ""


def test_it_says_which_settings_are_missing(example: Example) -> None:
    with example.start() as started:
        assert started.wait(30) == 1
    assert "auth-service/.env is missing: cp auth-service/.env.example auth-service/.env" in started.last_output()


SECRET_LINE = re.compile(r"^BETTER_AUTH_SECRET=([0-9a-f]{64})$", re.MULTILINE)


def test_it_creates_a_secret_once_and_never_changes_it(example: Example, dsn: str) -> None:
    example.fill_in(dsn)
    env = example.folder / "auth-service" / ".env"
    env.write_text(re.sub("BETTER_AUTH_SECRET=.*", "BETTER_AUTH_SECRET=", env.read_text()))
    with example.start() as started:
        wait_for_all(example, started)
        assert "created BETTER_AUTH_SECRET in auth-service/.env" in started.last_output()
    first = env.read_text()
    assert len(SECRET_LINE.findall(first)) == 1
    assert env.stat().st_mode & 0o077 == 0
    with example.start() as started:
        wait_for_all(example, started)
    assert env.read_text() == first


def create_secret(file: Path) -> str:
    script = stack.EXAMPLE / "deploy" / "create-secret.sh"
    return subprocess.run([script, file], check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize(
    "text",
    [
        "BETTER_AUTH_SECRET=short",
        "A=1\nBETTER_AUTH_SECRET=" + "x" * 40 + "\nB=2\n",
        "export BETTER_AUTH_SECRET=abc",
        "  BETTER_AUTH_SECRET = 'quoted'\n",
    ],
)
def test_a_secret_that_is_there_stays_whatever_it_is(tmp_path: Path, text: str) -> None:
    file = tmp_path / ".env"
    file.write_text(text)
    assert create_secret(file) == ""
    assert file.read_text() == text


@pytest.mark.parametrize(
    "text", [None, "", "A=1", "A=1\n# BETTER_AUTH_SECRET=old\n", "BETTER_AUTH_SECRET=\nA=1\n", "BETTER_AUTH_SECRET= \n"]
)
def test_a_file_without_a_secret_gets_one_and_keeps_the_rest(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / ".env"
    if text is not None:
        file.write_text(text)
    create_secret(file)
    lines = file.read_text().splitlines()
    assert SECRET_LINE.fullmatch(lines[-1])
    kept = [line for line in (text or "").splitlines() if not line.startswith("BETTER_AUTH_SECRET=")]
    assert lines[:-1] == kept
    assert create_secret(file) == ""
    assert [path.name for path in tmp_path.iterdir()] == [".env"]


def test_it_names_a_taken_port(example: Example, dsn: str) -> None:
    example.fill_in(dsn)
    port = example.ports["API_PORT"]
    with socket.create_server(("127.0.0.1", port)), example.start() as started:
        began = time.monotonic()
        assert started.wait(30) == 1
        assert time.monotonic() - began < 20
    assert f"port {port} is taken" in started.last_output()


def test_it_names_a_python_without_the_wheel(example: Example, dsn: str, tmp_path: Path) -> None:
    example.fill_in(dsn)
    empty = tmp_path / "python"
    empty.write_text("#!/bin/sh\nexit 1\n")
    empty.chmod(0o755)
    with example.start(PYTHON=str(empty)) as started:
        assert started.wait(30) == 1
    assert f"{empty} has no auth_middleware" in started.last_output()
