"""Memory for each cached session: the growth of a process that looks up many sessions once.

`always` caches nothing, so its figure is the error of this measurement.
"""

import subprocess
import sys
from collections.abc import Mapping
from tempfile import NamedTemporaryFile
from typing import NamedTuple

from benches.scenarios.setup.environment import Environment, signed_in
from benches.scenarios.setup.servers import environment

CONTENDERS = ("always", "live", "seconds")
SESSIONS, WARM_UP = 50_000, 5_000
# Python objects are cached for a tenth of max_cached_sessions: this makes room for all sessions here.
SETTINGS = {"AUTH_MIDDLEWARE_MAX_CACHED_SESSIONS": str(10 * (SESSIONS + WARM_UP))}


class Memory(NamedTuple):
    """Bytes of the process for each session."""

    cached: float
    objects: float  # Python objects, in addition, once the session was read from the cache


def bytes_per_session(env: Environment) -> Mapping[str, Memory]:
    """Measures each contender in a process of its own."""
    with NamedTemporaryFile("w") as file:
        file.writelines(f"{cookie_value}\n" for cookie_value in signed_in(env.dsn, SESSIONS + WARM_UP))
        file.flush()
        return {name: _measure({**environment(name, env, env.dsn), **SETTINGS}, file.name) for name in CONTENDERS}


def _measure(settings: Mapping[str, str], file: str) -> Memory:
    caches = settings["AUTH_MIDDLEWARE_FRESHNESS"] != "always"
    command = [sys.executable, "-m", "benches.scenarios.memory_process", file, str(WARM_UP)]
    printed = subprocess.run(command, env=settings, check=True, stdout=subprocess.PIPE, text=True).stdout
    cached, objects, sessions = map(int, printed.split())
    assert sessions == (SESSIONS + WARM_UP if caches else 0), f"{sessions} sessions are cached"
    return Memory(cached / SESSIONS, objects / (SESSIONS + WARM_UP))
