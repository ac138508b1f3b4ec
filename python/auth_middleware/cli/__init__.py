"""The command line. Exit status: 0 for success, 1 for a failure, 2 for invalid arguments."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from auth_middleware._core import __version__
from auth_middleware.cli import doctor, migrate
from auth_middleware.errors import AuthError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the default arguments are the process's own."""
    # The console script has a name of its own.
    name = Path(sys.argv[0]).name
    prog = name if name == "auth-middleware" else "python -m auth_middleware"
    parser = argparse.ArgumentParser(prog=prog, description="Commands for operators.")
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
