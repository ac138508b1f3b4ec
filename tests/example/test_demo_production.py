"""make demo-production: it tells the story over HTTPS, ends with its status, and leaves nothing behind."""

import os
import re
import signal
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

from dev import stack
from dev.processes import ChildProcess, free_port, is_free
from tests.example.test_demo import Terminal, left_over, mark, wait_for, with_mark

__all__ = ["mark"]  # a fixture

pytestmark = pytest.mark.needs("caddy")


@pytest.fixture
def temporary() -> Generator[Path]:
    """A folder for temporary files that every user may enter: PostgreSQL does not run as root."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def left_in(folder: Path) -> list[str]:
    # Node's cache of compiled modules, which Vite switches on: it is for the next run.
    return [path.name for path in folder.iterdir() if path.name != "node-compile-cache"]


def start(mark: str, **environment: str) -> ChildProcess:
    command = [sys.executable, "-m", "dev.demo_production"]
    return ChildProcess("demo-production", command, cwd=stack.ROOT, env={**with_mark(mark), **environment})


def test_without_a_terminal_it_tells_the_story_and_leaves_nothing(mark: str, temporary: Path) -> None:
    with start(mark, TMPDIR=str(temporary), HOME=str(temporary)) as running:
        assert running.wait(300) == 0, running.last_output()
    said = running.last_output()
    assert said.endswith("Everything went as expected.")
    site = r"https://orchestrator\.localhost:\d+"
    for line in (
        rf"POST {site}/api/auth/sign-up/email: 200",
        r"Set-Cookie: __Secure-better-auth\.session_token=\w{6}…; .*Secure",
        rf"GET {site}/api/me with __Secure-better-auth\.session_token: 200",
        r"WS wss://orchestrator\.localhost:\d+/ws: 101, .*load_average",
        rf"POST {site}/api/auth/sign-out with __Secure-better-auth\.session_token: 200",
        rf"GET {site}/api/me with __Secure-better-auth\.session_token: 401",
    ):
        assert re.search(line, said), line
    assert left_over(mark) == []
    assert left_in(temporary) == []


def test_interrupted_in_the_middle_it_takes_everything_down(mark: str, temporary: Path) -> None:
    with start(mark, TMPDIR=str(temporary)) as running:
        wait_for(running, "She signs up")
        os.kill(running.pid, signal.SIGTERM)
        assert running.wait(60) == 128 + signal.SIGTERM
    assert left_over(mark) == []
    assert left_in(temporary) == []


def test_on_a_terminal_it_stays_up_until_ctrl_c(mark: str) -> None:
    port = free_port()
    program = f"import sys; from dev import demo_production as demo; demo.PORT = {port}; sys.exit(demo.main())"
    with Terminal(mark, {}, program) as terminal:
        terminal.read_until(f"demo-production: open https://orchestrator.localhost:{port};")
        assert not is_free(port)
        terminal.interrupt()
        assert terminal.read_to_the_end() == 0
    assert left_over(mark) == []
    assert is_free(port)


def test_without_caddy_it_says_how_to_get_it(mark: str, tmp_path: Path) -> None:
    with start(mark, PATH=str(tmp_path)) as running:
        assert running.wait(60) == 1
    assert running.last_output() == "demo-production: caddy is missing: apt-get install caddy"
