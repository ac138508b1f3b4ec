"""The load: wrk, one thread, showing one user after the other."""

import json
import os
import subprocess
from pathlib import Path
from typing import NamedTuple

SCRIPT = Path(__file__).with_name("rotate.lua")


class Load(NamedTuple):
    """What wrk did."""

    requests: int
    seconds: float
    p50: float  # seconds
    p99: float


def load(url: str, headers: Path, connections: int, seconds: float) -> Load:
    """`headers` has one `Name: value` a line.

    Raises:
        AssertionError: an answer was not 2xx, or none came.
    """
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout=10s", f"-s{SCRIPT}", url]
    environment = {**os.environ, "HEADERS": str(headers)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    if found["refused"] or found["broken"]:
        raise AssertionError(f"{url}: {found['refused']} answers were not 2xx, {found['broken']} did not come")
    if not found["requests"]:
        raise AssertionError(f"{url}: no answer in {seconds:g} s")
    micro = 1e-6
    return Load(found["requests"], found["microseconds"] * micro, found["p50"] * micro, found["p99"] * micro)
