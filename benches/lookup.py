"""Look-ups per second: from a signed cookie to two models, beside hand-written middleware, in one run.

    make bench

Both ask one PostgreSQL over TCP, which shares the machine with them. Rounds take turns, so that what else the machine
does meets both. The numbers are this machine's; the ratio is what to look at.
"""

import asyncio
import itertools
import os
import platform
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

from auth_middleware import Auth, AuthSettings
from benches.handwritten import POOL_SIZE, Middleware
from dev.postgres import EmbeddedPostgres
from dev.sessions import create_tables, sign_in
from tests.support.cookies import SECRET, signed

SESSIONS = 10_000
CONCURRENT = (1, 64)
ROUNDS = 5
ROUND_SECONDS = 1.5
OURS, THEIRS = "auth_middleware", f"asyncpg, by hand (pool of {POOL_SIZE})"

Validate = Callable[[str], Awaitable[Any]]


class Round(NamedTuple):
    """One contender, asked for a while."""

    per_second: float
    cpu_microseconds: float  # of this process, for each look-up
    latencies: list[float]  # seconds


async def main() -> None:
    with EmbeddedPostgres() as postgres:
        dsn = postgres.create_database("benchmark")
        create_tables(dsn)
        names = [f"user {number}" for number in range(SESSIONS)]
        cookies = dict(zip(map(signed, sign_in(dsn, names)), names, strict=True))
        auth = Auth(AuthSettings(database_url=dsn, secret=SECRET, base_url="http://auth.test"))
        middleware = await Middleware.open(dsn, SECRET)
        contenders: dict[str, Validate] = {OURS: auth.validate_session, THEIRS: middleware.validate_session}
        try:
            for validate in contenders.values():
                await check(validate, cookies)
            print(f"{SESSIONS:,} sessions; {ROUNDS} rounds of {ROUND_SECONDS} s each, in turns; {machine()}")
            print(
                f"{'concurrent':>10}  {'':34} {'look-ups/s':>10} {'(of the rounds)':>17}"
                f" {'CPU µs':>7} {'p50 ms':>7} {'p99 ms':>7}"
            )
            for concurrent in CONCURRENT:
                show(concurrent, await compete(contenders, list(cookies), concurrent))
        finally:
            await auth.close()
            await middleware.close()


async def check(validate: Validate, cookies: Mapping[str, str]) -> None:
    """Does it answer right? It warms up, too."""
    forged = f"{next(iter(cookies))[:-6]}AAA%3D"
    if await validate(forged) is not None:
        raise AssertionError("a forged cookie was taken")
    for cookie_value, name in itertools.islice(cookies.items(), 2_000):
        identity = await validate(cookie_value)
        if identity.user.name != name:
            raise AssertionError(f"{name} was taken for {identity.user.name}")


async def compete(
    contenders: Mapping[str, Validate], cookie_values: Sequence[str], concurrent: int
) -> dict[str, list[Round]]:
    rounds: dict[str, list[Round]] = {name: [] for name in contenders}
    names = list(contenders)
    for number in range(-1, ROUNDS):  # the first is not counted
        # Each goes first as often as second.
        for name in names if number % 2 else names[::-1]:
            done = await ask_for_a_while(contenders[name], cookie_values, concurrent)
            if number >= 0:
                rounds[name].append(done)
    return rounds


async def ask_for_a_while(validate: Validate, cookie_values: Sequence[str], concurrent: int) -> Round:
    latencies: list[float] = []
    started, started_cpu = time.perf_counter(), time.process_time()
    deadline = started + ROUND_SECONDS

    async def ask(seed: int) -> None:
        choose = random.Random(seed)
        before = time.perf_counter()
        while before < deadline:
            if await validate(choose.choice(cookie_values)) is None:
                raise AssertionError("somebody who is signed in was refused")
            after = time.perf_counter()
            latencies.append(after - before)
            before = after

    await asyncio.gather(*map(ask, range(concurrent)))
    took, took_cpu = time.perf_counter() - started, time.process_time() - started_cpu
    return Round(len(latencies) / took, took_cpu / len(latencies) * 1e6, latencies)


def show(concurrent: int, rounds: Mapping[str, Sequence[Round]]) -> None:
    medians = {name: statistics.median(each.per_second for each in done) for name, done in rounds.items()}
    for name, done in rounds.items():
        speeds = sorted(each.per_second for each in done)
        cpu = statistics.median(each.cpu_microseconds for each in done)
        percentiles = statistics.quantiles(itertools.chain.from_iterable(each.latencies for each in done), n=100)
        spread = f"({speeds[0]:,.0f}–{speeds[-1]:,.0f})"
        print(
            f"{concurrent:>10}  {name:34} {medians[name]:>10,.0f} {spread:>17} {cpu:>7.0f}"
            f" {percentiles[49] * 1e3:>7.2f} {percentiles[98] * 1e3:>7.2f}"
        )
    print(f"{'':>10}  ours / by hand: {medians[OURS] / medians[THEIRS]:.2f}", flush=True)


def machine() -> str:
    return f"{os.cpu_count()} CPUs, {platform.system()}, Python {platform.python_version()}"


if __name__ == "__main__":
    asyncio.run(main())
