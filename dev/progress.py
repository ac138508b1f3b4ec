"""What a long command shows while it works: a line for each step, with its time; on a terminal a moving one, in colour.

    progress = Progress()
    with progress.step("Rust module", log=path) as step:
        step.detail = "62 crates"

Uses nothing but the standard library, so that it runs before anything is installed.
"""

import io
import os
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import TextIO, cast

COLOURS = {"bold": "1", "dim": "2", "red": "31", "green": "32", "cyan": "36"}
FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
FRAME_SECONDS = 0.1
CLEAR_LINE = "\r\x1b[2K"


class Step:
    """`detail` may change while the step runs, and shows beside its title."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.detail = ""
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began


class Progress:
    """Writes to `output`. One step at a time; lines may come from any thread meanwhile."""

    def __init__(self, output: TextIO | None = None, prefix: str = "demo: ") -> None:
        self._output = output or sys.stdout
        self.on_terminal = self._output.isatty() and os.environ.get("TERM") != "dumb"
        self._has_colours = self.on_terminal and not os.environ.get("NO_COLOR")
        self._prefix = "" if self.on_terminal else prefix
        self._lock = threading.Lock()
        self._running: Step | None = None

    def colour(self, text: str, *names: str) -> str:
        if not self._has_colours:
            return text
        return f"\x1b[{';'.join(COLOURS[name] for name in names)}m{text}\x1b[0m"

    def say(self, text: str = "") -> None:
        self._write(f"{self._prefix}{text}".rstrip())

    @contextmanager
    def step(self, title: str) -> Generator[Step]:
        """Says that it began, and how long it took unless it failed."""
        step = Step(title)
        ended = threading.Event()
        if self.on_terminal:
            drawing = threading.Thread(target=self._draw, args=(step, ended), daemon=True)
            drawing.start()
        else:
            drawing = None
            self.say(f"{title} …")
        try:
            yield step
        finally:
            ended.set()
            if drawing:
                drawing.join()
                self._output.write(CLEAR_LINE)
        took = self.colour(f"{step.seconds:.0f} s", "dim")
        if self.on_terminal:
            self.say(f"{self.colour('✓', 'green')} {step.title:<44} {took}")
        else:
            self.say(f"{step.title}: done in {took}")

    def as_log(self) -> TextIO:
        """A file for what programs log: each line appears above the step that runs."""
        return cast(TextIO, _Log(self))

    def _draw(self, step: Step, ended: threading.Event) -> None:
        with self._lock:
            self._running = step
        frame = 0
        while not ended.wait(FRAME_SECONDS):
            frame += 1
            with self._lock:
                mark = self.colour(FRAMES[frame % len(FRAMES)], "cyan")
                line = f"{mark} {step.title} … {step.seconds:.0f} s"
                if step.detail:
                    line += self.colour(f"  {step.detail}", "dim")
                self._output.write(CLEAR_LINE + line)
                self._output.flush()
        with self._lock:
            self._running = None

    def _write(self, line: str) -> None:
        with self._lock:
            if self._running:
                self._output.write(CLEAR_LINE)
            print(line, file=self._output, flush=True)


class _Log(io.TextIOBase):
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._rest = ""

    def write(self, text: str, /) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._progress.say(self._progress.colour(line, "dim"))
        return len(text)
