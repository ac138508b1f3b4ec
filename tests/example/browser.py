"""The stories in browser.mjs, run against a stack in some shape.

run(Stack(page_url, auth_url, api_url, actions={"stop backend": backend.stop, …}), "accounts", home=tmp_path)
"""

import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dev import node

HERE = Path(__file__).parent
GROUPS = ("accounts", "sessions", "outages", "conditions")


@dataclass(frozen=True)
class Stack:
    """Where a stack is, and what a story may ask for: "stop backend", "start auth-service" and so on."""

    page_url: str
    auth_url: str
    api_url: str
    actions: Mapping[str, Callable[[], object]] = field(default_factory=dict[str, Callable[[], object]])


def run(stack: Stack, group: str, *, home: Path, screenshots: Path | None = None) -> None:
    """Raises AssertionError, with all that was printed, when a story goes wrong. `home` is the browser's."""
    node.install(HERE)
    environment = {**os.environ, "HOME": str(home)}
    if screenshots:
        environment["SCREENSHOTS"] = str(screenshots)
    said: list[str] = []
    with subprocess.Popen(
        [node.node(), HERE / "browser.mjs", stack.page_url, stack.auth_url, stack.api_url, group],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as stories:
        assert stories.stdin
        assert stories.stdout
        try:
            for line in stories.stdout:
                said.append(line)
                if line.startswith("> "):
                    stack.actions[line.removeprefix("> ").rstrip()]()
                    print("done", file=stories.stdin, flush=True)
        except BaseException:
            stories.terminate()
            raise
    assert stories.returncode == 0, "".join(said)
    assert said[-1] == "every story went as it should\n"
