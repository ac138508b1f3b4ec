"""Run by `growth`. Fills caches of several sizes, and prints the cost of a cache hit and the memory of each cache.

    python -m benches.scenarios.growth_process ROUNDS SECONDS SIZE…

It uses one `Auth` instance for each size, all with room for the largest, configured by environment variables.
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
from benches.figures import CacheSize, Competition, Growth, Round
from benches.scenarios.setup.process_stats import resident_bytes
from benches.scenarios.setup.rounds import turns
from dev.cookies import COOKIE_NAME, signed
from dev.sessions import numbered_token

CONCURRENT = 64
# The users of a small site. The Python objects for these are always cached.
SAMPLE = 1_000
# Cookies are drawn in batches of this size, between the measurements.
BATCH = 1_000
# Python objects are cached for one in ten of `max_cached_sessions`.
OBJECTS_FRACTION = 10


async def measure(rounds: int, seconds: float, sizes: Sequence[int]) -> Growth:
    # Plain bytes, which the garbage collector does not traverse.
    cookies = [cookie(number) for number in range(max(sizes))]
    instances = {size: Auth() for size in sizes}
    cache_sizes: dict[str, CacheSize] = {}
    started = time.perf_counter()
    for size, auth in instances.items():
        cache_sizes[f"{size:,}"] = await fill(auth, cookies[:size])
    filled_per_second = sum(sizes) / (time.perf_counter() - started)
    for size, auth in instances.items():
        for each in cookies[: min(size, max(sizes) // OBJECTS_FRACTION)]:
            await auth.current_user(connection(each))
    caches = {f"{size:,}": (auth, cookies[:size]) for size, auth in instances.items()}
    samples = {
        name: (auth, random.Random(1).sample(each, min(SAMPLE, len(each)))) for name, (auth, each) in caches.items()
    }
    growth = Growth(
        sampled=0,
        lookups=[],
        cached=Competition(load=1, rounds=await compete(caches, rounds, seconds)),
        cached_sample=Competition(load=1, rounds=await compete(samples, rounds, seconds)),
        sample=SAMPLE,
        cache_sizes=cache_sizes,
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


async def fill(auth: Auth, cookies: Sequence[bytes]) -> CacheSize:
    """Looks up each session once, and checks that all of them are cached."""
    await auth.open()
    gc.collect()
    before = resident_bytes(os.getpid())
    remaining = iter(cookies)

    async def worker() -> None:
        for each in remaining:
            await auth.current_user(connection(each))

    await asyncio.gather(*(worker() for _ in range(CONCURRENT)))
    gc.collect()
    size = auth.cache_size
    assert size.sessions == len(cookies), f"{size.sessions:,} of {len(cookies):,} sessions are cached"
    return CacheSize(bytes=size.bytes, resident_bytes=resident_bytes(os.getpid()) - before)


async def compete(
    caches: Mapping[str, tuple[Auth, Sequence[bytes]]], rounds: int, seconds: float
) -> Mapping[str, list[Round]]:
    done: dict[str, list[Round]] = {name: [] for name in caches}
    for turn in turns(list(caches), rounds, seconds):
        auth, cookies = caches[turn.contender]
        before = auth.counters["live_cache"]
        latencies, cpu = await run_round(auth, batches(cookies), turn.seconds)
        assert auth.counters["live_cache"] - before == len(latencies), "a request was not a cache hit"
        percentiles = statistics.quantiles(latencies, n=100)
        if turn.is_counted:
            per_second = len(latencies) / sum(latencies)
            done[turn.contender].append(Round(per_second, percentiles[49], percentiles[98], cpu / len(latencies)))
    return done


def batches(cookies: Sequence[bytes]) -> Iterator[list[bytes]]:
    generator = random.Random()
    return (generator.choices(cookies, k=BATCH) for _ in itertools.count())


async def run_round(auth: Auth, batches: Iterator[list[bytes]], seconds: float) -> tuple[Sequence[float], float]:
    """Returns the latency of each request, and the CPU time of all of them together."""
    latencies: list[float] = []
    cpu, deadline = 0.0, time.perf_counter() + seconds
    for batch in batches:
        before, cpu_before = time.perf_counter(), time.process_time()
        if before >= deadline:
            break
        for each in batch:
            await auth.current_user(connection(each))
            after = time.perf_counter()
            latencies.append(after - before)
            before = after
        cpu += time.process_time() - cpu_before
    return latencies, cpu


if __name__ == "__main__":
    rounds, seconds, *sizes = sys.argv[1:]
    print(asyncio.run(measure(int(rounds), float(seconds), list(map(int, sizes)))).model_dump_json())
