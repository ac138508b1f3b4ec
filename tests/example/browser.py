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
# "mail" needs a stack that confirms addresses.
GROUPS = ("accounts", "sessions", "outages", "conditions")


@dataclass(frozen=True)
class Stack:
    """Where a stack is, how it differs, and what a story may ask for: "stop backend", "link for ADDRESS" and so on.

    An action gets what stands after its name, and may return a line of text.
    """

    page_url: str
    auth_url: str
    api_url: str
    actions: Mapping[str, Callable[..., object]] = field(default_factory=dict[str, Callable[..., object]])
    traits: frozenset[str] = frozenset()

    def do(self, request: str) -> object:
        name = next(name for name in self.actions if request.startswith(name))
        rest = request.removeprefix(name).strip()
        return self.actions[name](rest) if rest else self.actions[name]()


def run(stack: Stack, group: str, *, home: Path, screenshots: Path | None = None) -> None:
    """Raises AssertionError, with all that was printed, when a story goes wrong. `home` is the browser's."""
    node.install(HERE)
    environment = {**os.environ, "HOME": str(home), "TRAITS": ",".join(stack.traits)}
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
                    print(stack.do(line.removeprefix("> ").rstrip()) or "done", file=stories.stdin, flush=True)
        except BaseException:
            stories.terminate()
            raise
    assert stories.returncode == 0, "".join(said)
    assert said[-1] == "every story went as it should\n"
