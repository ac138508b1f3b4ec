"""The command line. Exit status: 0 for success, 1 for a failure, 2 for invalid arguments."""

import argparse
import asyncio
import sys
from collections.abc import Sequence

from auth_middleware.cli import migrate
from auth_middleware.errors import AuthError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the default arguments are the process's own."""
    parser = argparse.ArgumentParser(prog="python -m auth_middleware", description="Commands for operators.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    migrate.add_to(commands)
    chosen = parser.parse_args(arguments)
    try:
        return asyncio.run(chosen.run(chosen))
    except AuthError as error:
        print(f"auth_middleware: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
