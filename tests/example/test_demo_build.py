"""What `make demo` shows while it builds, and what it says when that fails."""

import io
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path

import pytest

from dev import demo_build
from dev.progress import Progress, Step

FAILS = "import sys; print('Compiling serde v1'); print('the cause'); sys.exit(3)"
RUNS_FOR_EVER = "import time; print('Compiling tokio v1', flush=True); time.sleep(600)"


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Path]:
    monkeypatch.setattr(demo_build, "LOG", demo_build.ROOT / "target" / f"{tmp_path.name}.log")
    demo_build.LOG.parent.mkdir(exist_ok=True)
    monkeypatch.setattr(demo_build, "LAST_LINES", 2)
    yield demo_build.LOG
    demo_build.LOG.unlink(missing_ok=True)


def python(program: str) -> list[str | Path]:
    return [sys.executable, "-c", program]


def test_a_command_that_fails_is_named_with_the_end_of_the_log_and_the_others_end(log: Path) -> None:
    with ExitStack() as down:
        other = demo_build.start(down, "npm ci", python(RUNS_FOR_EVER))
        failing = demo_build.start(down, "maturin develop", python(FAILS))
        with pytest.raises(demo_build.BuildFailed) as failed:
            demo_build.finish([other, failing], Step("build"), lambda: "")
    assert str(failed.value).startswith(f"`maturin develop` failed. The end of target/{log.name}:\n")
    assert "the cause" in str(failed.value)
    assert other.process.returncode == -signal.SIGTERM


def test_a_step_shows_how_many_crates_were_compiled(log: Path, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    program = f"""
import pathlib, time
print("   Compiling serde v1", "   Compiling tokio v1", sep="\\n", flush=True)
while not pathlib.Path({str(seen)!r}).exists():
    time.sleep(0.02)
"""
    step = Step("build")

    def detail() -> str:
        if (counted := demo_build.count_crates()) == "crates compiled: 2":
            seen.touch()
        return counted

    with ExitStack() as down:
        demo_build.finish([demo_build.start(down, "maturin develop", python(program))], step, detail)
    assert step.detail == "crates compiled: 2"
    assert log.read_text().count("Compiling") == 2


def test_without_a_terminal_lines_are_plain() -> None:
    output = io.StringIO()
    progress = Progress(output)
    with progress.step("a step"):
        print("[child] a line", file=progress.as_log())
    progress.say(progress.colour("done", "green"))
    assert output.getvalue() == "demo: a step …\ndemo: [child] a line\ndemo: a step: done in 0 s\ndemo: done\n"


@pytest.mark.parametrize(
    ("variables", "has_colours"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_colours_are_for_terminals_that_want_them(variables: dict[str, str], has_colours: bool) -> None:
    program = "from dev.progress import Progress\nwith Progress().step('a step'): pass"
    shown = on_terminal(program, **variables)
    assert ("\x1b[32m✓" in shown) is has_colours
    assert "a step" in shown


def test_a_line_that_arrives_meanwhile_stands_above_the_moving_one() -> None:
    program = """
import time
from dev.progress import Progress
progress = Progress()
with progress.step("a step"):
    time.sleep(1)
    print("a line", file=progress.as_log())
    time.sleep(1)
"""
    shown = on_terminal(program)
    before, after = shown.split("a line")
    assert "a step …" in before
    assert "a step …" in after
    assert before.endswith("\r\x1b[2K\x1b[2m")


def on_terminal(program: str, **variables: str) -> str:
    screen, theirs = pty.openpty()
    env = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "TERM")}
    command = [sys.executable, "-c", program]
    done = subprocess.Popen(command, cwd=demo_build.ROOT, stdout=theirs, env={**env, "TERM": "xterm", **variables})
    os.close(theirs)
    shown = b""
    try:
        while read := os.read(screen, 10_000):
            shown += read
    except OSError:  # Linux's way to say that nobody writes any more
        pass
    assert done.wait(30) == 0
    os.close(screen)
    return shown.decode()
