"""The load generator: wrk with one thread, each request with the credential of another user."""

import json
import os
import subprocess
from pathlib import Path
from typing import NamedTuple

SCRIPT = Path(__file__).with_name("rotate_headers.lua")


class Load(NamedTuple):
    """What wrk reports."""

    requests: int
    seconds: float
    p50: float  # seconds
    p99: float


def load(url: str, headers: Path, connections: int, seconds: float) -> Load:
    """`headers` is a file with one `Name: value` per line.

    Raises:
        AssertionError: a response was not 2xx, or a request failed.
    """
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout=10s", f"-s{SCRIPT}", url]
    environment = {**os.environ, "HEADERS": str(headers)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    summary = json.loads(done.stdout.splitlines()[-1])
    if summary["not_2xx"] or summary["failed"]:
        raise AssertionError(f"{url}: {summary['not_2xx']} responses were not 2xx, {summary['failed']} requests failed")
    if not summary["requests"]:
        raise AssertionError(f"{url}: no response within {seconds:g} s")
    micro = 1e-6
    return Load(summary["requests"], summary["microseconds"] * micro, summary["p50"] * micro, summary["p99"] * micro)
