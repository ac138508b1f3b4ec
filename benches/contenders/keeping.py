"""A process that keeps ever more sessions: prints what an answer from its caches costs, and what they take.

    python -m benches.contenders.keeping ROUNDS SECONDS SIZE…

One instance for each size, all with room for the largest. The environment has their settings.
"""

import asyncio
import gc
import itertools
import os
import random
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence

from starlette.requests import HTTPConnection

from auth_middleware import Auth
from benches.figures import Competition, Growth, Kept, Round
from benches.processes import resident_bytes
from benches.turns import turns
from dev.sessions import numbered_token
from tests.support.cookies import COOKIE_NAME, signed

CONCURRENT = 64
# As many as a small site has at once: their Python objects are always ready.
SOME = 1_000
# Drawn at a time, between the clocks' readings.
DRAWN = 1_000
# Python objects are kept ready for one in so many of `max_cached_sessions`.
ONE_READY_IN = 10


async def keep(rounds: int, seconds: float, sizes: Sequence[int]) -> Growth:
    # Bytes only: Python's garbage collector need not look at what we hold.
    shown = [cookie(number) for number in range(max(sizes))]
    instances = {size: Auth() for size in sizes}
    kept: dict[str, Kept] = {}
    started = time.perf_counter()
    for size, auth in instances.items():
        kept[f"{size:,}"] = await fill(auth, shown[:size])
    filled_per_second = sum(sizes) / (time.perf_counter() - started)
    for size, auth in instances.items():
        for each in shown[: min(size, max(sizes) // ONE_READY_IN)]:
            await auth.current_user(connection(each))
    caches = {f"{size:,}": (auth, shown[:size]) for size, auth in instances.items()}
    some = {name: (auth, random.Random(1).sample(each, min(SOME, len(each)))) for name, (auth, each) in caches.items()}
    growth = Growth(
        sampled=0,
        lookups=[],
        cached=Competition(load=1, rounds=await compete(caches, rounds, seconds)),
        cached_some=Competition(load=1, rounds=await compete(some, rounds, seconds)),
        some=SOME,
        kept=kept,
        filled_per_second=filled_per_second,
    )
    for auth in instances.values():
        await auth.close()
    return growth


def cookie(number: int) -> bytes:
    cookie_value = signed(numbered_token(number), os.environ["BETTER_AUTH_SECRET"])
    return f"{COOKIE_NAME}={cookie_value}".encode()


def connection(cookie: bytes) -> HTTPConnection:
    headers = [(b"host", b"api.test"), (b"cookie", cookie)]
    return HTTPConnection({"type": "http", "method": "GET", "path": "/", "headers": headers})


async def fill(auth: Auth, shown: Sequence[bytes]) -> Kept:
    """Looks each of them up once, and each is kept."""
    await auth.open()
    gc.collect()
    before = resident_bytes(os.getpid())
    waiting = iter(shown)

    async def ask() -> None:
        for each in waiting:
            await auth.current_user(connection(each))

    await asyncio.gather(*(ask() for _ in range(CONCURRENT)))
    gc.collect()
    size = auth.cache_size
    assert size.sessions == len(shown), f"{size.sessions:,} of {len(shown):,} are kept"
    return Kept(bytes=size.bytes, resident_bytes=resident_bytes(os.getpid()) - before)


async def compete(
    caches: Mapping[str, tuple[Auth, Sequence[bytes]]], rounds: int, seconds: float
) -> Mapping[str, list[Round]]:
    done: dict[str, list[Round]] = {name: [] for name in caches}
    for turn in turns(list(caches), rounds, seconds):
        auth, shown = caches[turn.contender]
        before = auth.counters["live_cache"]
        latencies, cpu = await ask_for_a_while(auth, drawn(shown), turn.seconds)
        assert auth.counters["live_cache"] - before == len(latencies), "the store was asked"
        percentiles = statistics.quantiles(latencies, n=100)
        if turn.is_counted:
            per_second = len(latencies) / sum(latencies)
            done[turn.contender].append(Round(per_second, percentiles[49], percentiles[98], cpu / len(latencies)))
    return done


def drawn(shown: Sequence[bytes]) -> Iterator[list[bytes]]:
    draw = random.Random()
    return (draw.choices(shown, k=DRAWN) for _ in itertools.count())


async def ask_for_a_while(auth: Auth, draws: Iterator[list[bytes]], seconds: float) -> tuple[Sequence[float], float]:
    """How long each took, and the process's CPU for all of them."""
    latencies: list[float] = []
    cpu, deadline = 0.0, time.perf_counter() + seconds
    for some in draws:
        before, cpu_before = time.perf_counter(), time.process_time()
        if before >= deadline:
            break
        for each in some:
            await auth.current_user(connection(each))
            after = time.perf_counter()
            latencies.append(after - before)
            before = after
        cpu += time.process_time() - cpu_before
    return latencies, cpu


if __name__ == "__main__":
    rounds, seconds, *sizes = sys.argv[1:]
    print(asyncio.run(keep(int(rounds), float(seconds), list(map(int, sizes)))).model_dump_json())
