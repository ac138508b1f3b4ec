"""What requests cost while the database does not answer: `python -m benches.scenarios.outage`.

256 clients send one request after the other through asyncio to a database that is frozen: it keeps its connections and
says nothing. Every contender may wait 5 seconds for a result, and they take turns.

The first seconds of the outage, in which auth_middleware does not know of it yet, are a row of their own. A client is
held from its request to its 503: for that time, the application keeps what belongs to the request.
"""

import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from typing import Any, NamedTuple

from auth_middleware import StoreUnavailable
from benches.scenarios import lookups
from dev.cookies import signed
from dev.postgres import EmbeddedPostgres
from dev.postgres_proxies import counting_proxy
from dev.sessions import create_tables, sign_in

CONCURRENT = 256
TIMEOUT_SECONDS = 5.0
# Until the outage is found, a look-up and a probe time out.
UNKNOWN_SECONDS = TIMEOUT_SECONDS + 1
OURS_SECONDS, THEIR_SECONDS, ROUNDS = 2.0, 2 * TIMEOUT_SECONDS - 1, 3
UNKNOWN, OURS, HAND_WRITTEN = "auth_middleware, at first", "auth_middleware, known", "hand-written middleware"


class Held(NamedTuple):
    """Of one round: answers in a second, and the median seconds for which a client was held."""

    per_second: float
    median: float


async def hold(validate: Callable[[Any], Awaitable[Any]], credential: Any, seconds: float) -> Held:
    """Sends requests that cannot be answered, each client one after the other, until the time is over."""
    held: list[float] = []
    started = time.perf_counter()

    async def client() -> None:
        before = time.perf_counter()
        while before < started + seconds:
            await wait_for_503(validate, credential)
            after = time.perf_counter()
            held.append(after - before)
            before = after
            await asyncio.sleep(0)

    await asyncio.gather(*(client() for _ in range(CONCURRENT)))
    return Held(len(held) / (time.perf_counter() - started), statistics.median(held))


async def wait_for_503(validate: Callable[[Any], Awaitable[Any]], credential: Any) -> None:
    with suppress(StoreUnavailable, TimeoutError):
        async with asyncio.timeout(TIMEOUT_SECONDS):
            found = await validate(credential)
            raise AssertionError(f"a frozen database answered: {found}")


async def seconds_until_answered(validate: Callable[[Any], Awaitable[Any]], credential: Any) -> float:
    started = time.perf_counter()
    while True:
        with suppress(StoreUnavailable):
            assert await validate(credential)
            return time.perf_counter() - started
        await asyncio.sleep(0.01)


async def measure(dsn: str, cookie_value: str) -> tuple[dict[str, list[Held]], float]:
    figures: dict[str, list[Held]] = {UNKNOWN: [], OURS: [], HAND_WRITTEN: []}
    with counting_proxy(dsn) as proxy:
        async with AsyncExitStack() as stack:
            ours = await lookups.open_ours(proxy.dsn, stack, lookup_timeout_seconds=TIMEOUT_SECONDS)
            theirs = await lookups.open_hand_written(proxy.dsn, stack)
            assert await ours.validate(cookie_value)
            assert await theirs.validate(cookie_value)
            with proxy.frozen():
                figures[UNKNOWN].append(await hold(ours.validate, cookie_value, UNKNOWN_SECONDS))
                for _ in range(ROUNDS):
                    figures[OURS].append(await hold(ours.validate, cookie_value, OURS_SECONDS))
                    figures[HAND_WRITTEN].append(await hold(theirs.validate, cookie_value, THEIR_SECONDS))
            return figures, await seconds_until_answered(ours.validate, cookie_value)


def main() -> int:
    with EmbeddedPostgres() as postgres:
        dsn = postgres.create_database("outage")
        create_tables(dsn)
        [token] = sign_in(dsn, ["Ada"])
        figures, recovered = asyncio.run(measure(dsn, signed(token)))
    print(f"{CONCURRENT} clients, frozen database\n{'':<30}{'503/s':>10}{'held, median':>16}")
    for name, rounds in figures.items():
        per_second = statistics.median(each.per_second for each in rounds)
        median = statistics.median(each.median for each in rounds)
        print(f"{name:<30}{per_second:>10,.0f}{median * 1000:>13,.2f} ms")
    pairs = list(zip(figures[OURS], figures[HAND_WRITTEN], strict=True))
    held = statistics.median(theirs.median / ours.median for ours, theirs in pairs)
    print(f"a client of the hand-written middleware is held {held:,.0f} times as long")
    print(f"auth_middleware answered {recovered:.2f} s after the database did")
    return 0


if __name__ == "__main__":
    sys.exit(main())
