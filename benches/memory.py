"""Memory for each session in a cache: the growth of a process that looks many up, each once.

`always` keeps none, and so shows what the measure is worth.
"""

import subprocess
import sys
from collections.abc import Mapping
from tempfile import NamedTemporaryFile

from benches.servers import environment
from benches.stage import Stage, signed_in

CONTENDERS = ("always", "live", "seconds")
SESSIONS, WARM_UP = 50_000, 5_000


def bytes_per_session(stage: Stage) -> Mapping[str, float]:
    """By contender."""
    with NamedTemporaryFile("w") as file:
        file.writelines(f"{cookie_value}\n" for cookie_value in signed_in(stage.dsn, SESSIONS + WARM_UP))
        file.flush()
        return {name: _grown(environment(name, stage, stage.dsn), file.name) / SESSIONS for name in CONTENDERS}


def _grown(settings: Mapping[str, str], file: str) -> int:
    remembers = settings["AUTH_MIDDLEWARE_FRESHNESS"] != "always"
    command = [sys.executable, "-m", "benches.contenders.remembering", file, str(WARM_UP)]
    printed = subprocess.run(command, env=settings, check=True, stdout=subprocess.PIPE, text=True).stdout
    grown, kept = map(int, printed.split())
    assert kept == (SESSIONS + WARM_UP if remembers else 0), f"{kept} sessions are kept"
    return grown
