"""Pictures of every page, in each look, and of the terminal: python -m tests.example.screenshots [GROUP…]

They go to target/screenshots, which git ignores. Three of them stand in docs/images, for the README.
"""

import io
import os
import pty
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from dev import demo, node, stack
from dev.mail import MailServer
from dev.postgres import EmbeddedPostgres
from dev.processes import is_free
from tests.example import browser
from tests.example.development import development

FOLDER = stack.ROOT / "target" / "screenshots"
COLUMNS = 136
# The README's terminal picture ends before this part of the story.
CUT = "A page of another site may send the request"
COLOURS = [
    *((54, 60, 66), (255, 123, 114), (126, 211, 138), (233, 196, 106)),
    *((121, 184, 255), (210, 168, 255), (95, 209, 199), (231, 236, 234)),
]
THEME = TerminalTheme((16, 22, 26), (231, 236, 234), COLOURS)
PAGE = """<!doctype html><meta charset="utf-8"><style>{stylesheet}
body {{ margin: 0; padding: 24px 28px; width: fit-content; background: {background}; color: {foreground};
        font: 15px/1.45 "JetBrains Mono", "Noto Sans Mono", "DejaVu Sans Mono", monospace; }}
pre {{ margin: 0; font: inherit; }}</style><pre>{code}</pre>"""


def main(groups: list[str]) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    node.install(stack.AUTH_SERVICE)
    # The ports that people see, unless something listens there.
    ports = tuple(demo.PORTS.values())
    ports = ports if all(is_free(port) for port in ports) else ()
    with tempfile.TemporaryDirectory() as home, EmbeddedPostgres() as postgres:
        with development(postgres, stack.AUTH_SERVICE, Path(home, "page"), ports=ports) as running:
            picture_of_terminal(story_of(running), FOLDER / "terminal.png")
            for group in groups or browser.GROUPS:
                browser.run(running, group, home=Path(home), screenshots=FOLDER)
        if groups:
            return
        with MailServer() as mail, development(postgres, stack.AUTH_SERVICE, Path(home, "page2"), mail) as running:
            browser.run(running, "mail", home=Path(home), screenshots=FOLDER)


def story_of(running: browser.Stack) -> str:
    """What the demo's story writes on a terminal, with its colours."""
    screen, theirs = pty.openpty()
    command = [sys.executable, stack.STORY, running.auth_url, running.api_url, running.page_url]
    environment = {**os.environ, "TERM": "xterm-256color"}
    environment.pop("NO_COLOR", None)
    told = b""
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment) as story:
        os.close(theirs)
        try:
            while read := os.read(screen, 10_000):
                told += read
        except OSError:  # Linux's way to say that nobody writes any more
            pass
    os.close(screen)
    assert story.returncode == 0, told.decode()
    return told.decode().replace("\r\n", "\n")


def picture_of_terminal(written: str, path: Path) -> None:
    text = Text.from_ansi("$ make demo\n" + written.partition(CUT)[0])
    text.rstrip()
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(text)
    page = path.with_suffix(".html")
    page.write_text(console.export_html(theme=THEME, code_format=PAGE, inline_styles=False))
    height = 24 * 2 + int(len(console.render_lines(text)) * 15 * 1.45)
    size = f"--window-size={COLUMNS * 9 + 56},{height}"
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", size]
    subprocess.run([*command, f"--screenshot={path}", page.as_uri()], check=True, capture_output=True)
    page.unlink()


if __name__ == "__main__":
    main(sys.argv[1:])
