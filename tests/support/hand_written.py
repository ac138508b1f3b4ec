"""Runs the application of tests/support/programs/hand_written.py, by uvicorn, with settings of its own."""

import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager

from dev.processes import ChildProcess, free_port
from tests.support.environment import without_our_settings


@contextmanager
def hand_written(settings: Mapping[str, str]) -> Generator[str]:
    """Gives its URL."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [sys.executable, "-m", "uvicorn", "tests.support.programs.hand_written:app", "--port", str(port)]
    with ChildProcess("hand-written", command, env={**without_our_settings(), **settings}) as process:
        process.wait_for_url(f"{url}/health")
        yield url
