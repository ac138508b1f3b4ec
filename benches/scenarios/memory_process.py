"""Run by `memory`. Prints the growth of this process in bytes while it looks up many sessions, the further growth
while it reads each from the cache, which creates the Python objects, and the number of cached sessions.

    python -m benches.scenarios.memory_process cookies.txt 5000

The file has one cookie value per line. The given number of them is looked up before the measurement, to warm up the
pool, the runtime and the interpreter.
"""

import asyncio
import gc
import itertools
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from auth_middleware import Auth
from benches.scenarios.setup.process_stats import resident_bytes

CONCURRENT = 64


async def measure(cookie_values: Sequence[str], warm_up: int) -> tuple[int, int, int]:
    auth = Auth()
    async with auth.lifespan(None):
        remaining = iter(cookie_values)
        await validate_all(auth, itertools.islice(remaining, warm_up))
        before = settled_bytes()
        await validate_all(auth, remaining)
        cached = settled_bytes()
        await validate_all(auth, iter(cookie_values))
        return cached - before, settled_bytes() - cached, auth.cache_size.sessions


def settled_bytes() -> int:
    gc.collect()
    return resident_bytes(os.getpid())


async def validate_all(auth: Auth, cookie_values: Iterator[str]) -> None:
    async def worker() -> None:
        for cookie_value in cookie_values:
            if await auth.validate_session(cookie_value) is None:
                raise AssertionError("a signed-in user was refused")

    await asyncio.gather(*(worker() for _ in range(CONCURRENT)))


if __name__ == "__main__":
    print(*asyncio.run(measure(Path(sys.argv[1]).read_text().splitlines(), int(sys.argv[2]))))
