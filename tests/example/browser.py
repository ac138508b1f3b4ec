"""The stories in browser.mjs, run against a stack in some shape.

run(Stack(page_url, auth_url, api_url, actions={"stop backend": backend.stop, …}), "accounts", home=tmp_path)
"""

import os
import subprocess
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dev import node
from dev.mail import MailServer

HERE = Path(__file__).parent
# Those of every shape. "mail" needs one that confirms addresses, "production" is for that shape. "tokens" needs the
# credential "jwt".
GROUPS = ("accounts", "sessions", "outages", "conditions")


@dataclass(frozen=True)
class Stack:
    """Where a stack is, how it differs, and what a story may ask for: "stop backend", "start auth-service" and so on.

    Words after an action's name are its arguments; what it returns is the story's to use. `traits` are named in
    browser.mjs.
    """

    page_url: str
    auth_url: str
    api_url: str
    actions: Mapping[str, Callable[..., object]] = field(default_factory=dict[str, Callable[..., object]])
    traits: frozenset[str] = frozenset()

    def act(self, what: str) -> object:
        [name] = [name for name in self.actions if what == name or what.startswith(f"{name} ")]
        return self.actions[name](*what.removeprefix(name).split())


class Links:
    """Those in mails, each given once."""

    def __init__(self, mail: MailServer) -> None:
        self._mail = mail
        self._read: Counter[str] = Counter()

    def next(self, address: str) -> str:
        while True:
            self._read[address] += 1
            mail = self._mail.wait_for(address, self._read[address])
            if mail.token:
                return mail.link


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
                    print(stack.act(line.removeprefix("> ").rstrip()) or "done", file=stories.stdin, flush=True)
        except BaseException:
            stories.terminate()
            raise
    assert stories.returncode == 0, "".join(said)
    assert said[-1] == "every story went as it should\n"
