"""A process that remembers: prints by how many bytes it grew while it looked many sessions up, by how many more while
each was answered again, which makes Python's objects ready, and how many sessions it keeps.

    python -m benches.contenders.remembering cookies.txt 5000

The file has a cookie's value a line. The first so many fill what does not grow any more: the pool, the runtime, the
interpreter's own memory.
"""

import asyncio
import gc
import itertools
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from auth_middleware import Auth
from benches.processes import resident_bytes

CONCURRENT = 64


async def grown(cookie_values: Sequence[str], warm_up: int) -> tuple[int, int, int]:
    auth = Auth()
    async with auth.lifespan(None):
        waiting = iter(cookie_values)
        await ask_for_all(auth, itertools.islice(waiting, warm_up))
        before = settled_bytes()
        await ask_for_all(auth, waiting)
        kept = settled_bytes()
        await ask_for_all(auth, iter(cookie_values))
        return kept - before, settled_bytes() - kept, auth.cache_size.sessions


def settled_bytes() -> int:
    gc.collect()
    return resident_bytes(os.getpid())


async def ask_for_all(auth: Auth, cookie_values: Iterator[str]) -> None:
    async def ask() -> None:
        for cookie_value in cookie_values:
            if await auth.validate_session(cookie_value) is None:
                raise AssertionError("somebody who is signed in was refused")

    await asyncio.gather(*(ask() for _ in range(CONCURRENT)))


if __name__ == "__main__":
    print(*asyncio.run(grown(Path(sys.argv[1]).read_text().splitlines(), int(sys.argv[2]))))
