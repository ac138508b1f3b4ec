"""The command line. Exit status: 0 for success, 1 for a failure, 2 for invalid arguments."""

import asyncio
import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import cast

from auth_middleware._core import __version__
from auth_middleware.cli import doctor, migrate
from auth_middleware.cli.arguments import Parser
from auth_middleware.errors import AuthError

# What a shell reports for a program that SIGPIPE ended.
BROKEN_PIPE = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the default arguments are the process's own."""
    output = sys.stdout
    if isinstance(output, TextIOWrapper):
        # The encoding of the output may lack our characters, such as …
        cast("TextIOWrapper", output).reconfigure(errors="replace")
    try:
        try:
            return _run(arguments)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Otherwise, the interpreter flushes again as it exits, and reports that.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE


def _run(arguments: Sequence[str] | None) -> int:
    # The console script has a name of its own.
    name = Path(sys.argv[0]).name
    prog = name if name == "auth-middleware" else "python -m auth_middleware"
    parser = Parser(prog=prog, description="Commands for operators.")
    parser.add_argument("--version", action="version", version=f"auth_middleware {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    doctor.add_to(commands)
    migrate.add_to(commands)
    chosen = parser.parse_args(arguments)
    try:
        return asyncio.run(chosen.run(chosen))
    except AuthError as error:
        print(f"auth_middleware: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
