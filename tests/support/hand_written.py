"""Runs tests/support/programs/hand_written.py under uvicorn, with its own settings."""

import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager

from dev.environment import without_our_settings
from dev.processes import ChildProcess, free_port


@contextmanager
def hand_written(settings: Mapping[str, str]) -> Generator[str]:
    """Yields its URL."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [sys.executable, "-m", "uvicorn", "tests.support.programs.hand_written:app", "--port", str(port)]
    with ChildProcess("hand-written", command, env={**without_our_settings(), **settings}) as process:
        process.wait_for_url(f"{url}/health")
        yield url
