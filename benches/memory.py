"""Memory for each session in a cache: the growth of a process that looks many up, each once.

`always` keeps none, and so shows what the measure is worth.
"""

import subprocess
import sys
from collections.abc import Mapping
from tempfile import NamedTemporaryFile
from typing import NamedTuple

from benches.servers import environment
from benches.stage import Stage, signed_in

CONTENDERS = ("always", "live", "seconds")
SESSIONS, WARM_UP = 50_000, 5_000
# Python objects are kept ready for a tenth of them: for all that we ask for.
ROOM = {"AUTH_MIDDLEWARE_MAX_CACHED_SESSIONS": str(10 * (SESSIONS + WARM_UP))}


class Grown(NamedTuple):
    """Bytes of the process for each session."""

    kept: float
    ready: float  # on top, once it was answered from the cache


def bytes_per_session(stage: Stage) -> Mapping[str, Grown]:
    """By contender."""
    with NamedTemporaryFile("w") as file:
        file.writelines(f"{cookie_value}\n" for cookie_value in signed_in(stage.dsn, SESSIONS + WARM_UP))
        file.flush()
        return {name: _grown({**environment(name, stage, stage.dsn), **ROOM}, file.name) for name in CONTENDERS}


def _grown(settings: Mapping[str, str], file: str) -> Grown:
    remembers = settings["AUTH_MIDDLEWARE_FRESHNESS"] != "always"
    command = [sys.executable, "-m", "benches.contenders.remembering", file, str(WARM_UP)]
    printed = subprocess.run(command, env=settings, check=True, stdout=subprocess.PIPE, text=True).stdout
    grown, ready, kept = map(int, printed.split())
    assert kept == (SESSIONS + WARM_UP if remembers else 0), f"{kept} sessions are kept"
    return Grown(grown / SESSIONS, ready / (SESSIONS + WARM_UP))
