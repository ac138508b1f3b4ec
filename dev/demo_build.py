"""Builds what `make demo` needs and what is missing: Python packages, the Rust module, Node packages.

    python -m dev.demo_build URL

Uses nothing but the standard library, so that any Python 3.11 runs it. What the compilers and installers print goes to
target/demo-build.log. On a terminal, URL, where the page is going to be, is the first line.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from dev.progress import Progress, Step

ROOT = Path(__file__).parent.parent
LOG = ROOT / "target" / "demo-build.log"
PYTHON = ROOT / ".venv" / "bin" / "python"
EXAMPLE = ROOT / "examples" / "orchestrator_3_stream"
PACKAGES = [EXAMPLE / "auth-service", EXAMPLE / "frontend"]
INSTALLED = ".venv/installed"
MODULE = "python/auth_middleware/_core.abi3.so"
INSTALL_NODE_PACKAGES = (
    "import pathlib, sys; from dev import node; [node.install(pathlib.Path(p)) for p in sys.argv[1:]]"
)
LAST_LINES = 20


class Command(NamedTuple):
    name: str
    process: subprocess.Popen[bytes]


class BuildFailed(Exception):
    """The message is the end of what the failed command printed."""


def main() -> int:
    progress = Progress()
    if is_complete():
        return 0
    LOG.parent.mkdir(exist_ok=True)
    if progress.on_terminal:
        progress.say(f"The page will be at {progress.colour(sys.argv[1], 'bold', 'cyan')}")
    progress.say(f"The first run builds everything, in this folder. The log is {LOG.relative_to(ROOT)}.")
    try:
        build(progress)
    except BuildFailed as failure:
        print(f"demo: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        progress.say("Interrupted. `make demo` continues where it stopped.")
        return 130
    return 0


def is_complete() -> bool:
    stamps = [package / "node_modules" / ".installed" for package in PACKAGES]
    missing = [stamp for stamp in stamps if not stamp.exists()]
    return not (missing or would_run(INSTALLED, "pip install") or would_run(MODULE, "maturin develop"))


def build(progress: Progress) -> None:
    LOG.write_text("")
    if would_run(INSTALLED, "pip install"):
        with progress.step("Python packages into .venv") as step, ExitStack() as down:
            finish([start(down, "pip install", make(INSTALLED))], step, lambda: "")
    # Node's packages come over the network while the compiler has the processor.
    with progress.step("Rust module and Node packages") as step, ExitStack() as down:
        install = [PYTHON, "-c", INSTALL_NODE_PACKAGES, *PACKAGES]
        commands = [start(down, "maturin develop", make(MODULE)), start(down, "npm ci", install)]
        finish(commands, step, count_crates)


def make(target: str) -> list[str | Path]:
    return ["make", target, "PROFILE=demo"]


def would_run(target: str, command: str) -> bool:
    """Whether `make target` would run that command. (--question says yes always: make checks the machine each time.)"""
    plan = subprocess.run(["make", "--dry-run", target], cwd=ROOT, env=environment(), capture_output=True, check=False)
    return command.encode() in plan.stdout


def start(down: ExitStack, name: str, command: Sequence[str | Path]) -> Command:
    """Its output goes to the log. `down` ends it."""
    log = down.enter_context(LOG.open("ab"))
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
    )
    down.callback(process.wait)
    down.callback(process.terminate)
    return Command(name, process)


def finish(commands: Sequence[Command], step: Step, detail: Callable[[], str]) -> None:
    """Until all have succeeded, or the first has failed."""
    while True:
        statuses = {name: process.poll() for name, process in commands}
        for name, status in statuses.items():
            if status:
                raise BuildFailed(failure(name))
        if all(status == 0 for status in statuses.values()):
            return
        step.detail = detail()
        time.sleep(0.1)


def failure(name: str) -> str:
    end = "\n".join(log_text().splitlines()[-LAST_LINES:])
    return f"`{name}` failed. The end of {LOG.relative_to(ROOT)}:\n{end}"


def count_crates() -> str:
    crates = len(re.findall(r"^ *Compiling ", log_text(), re.MULTILINE))
    return f"crates compiled: {crates}" if crates else ""


def log_text() -> str:
    return LOG.read_text(errors="replace")


def environment() -> dict[str, str]:
    # A make of its own: without the flags and the job server of the one that runs us.
    return {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}


if __name__ == "__main__":
    sys.exit(main())
