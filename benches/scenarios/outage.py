"""What requests cost while the database does not answer: `python -m benches.scenarios.outage`.

256 clients send one request after the other through asyncio to a database that is frozen: it keeps its connections and
says nothing. A client is held from its request to its 503: for that time, the application keeps what belongs to the
request. The first seconds, in which it is not yet known that the database is down, show what all would be like without
that knowledge.
"""

import asyncio
import logging
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, NamedTuple

from pydantic import SecretStr

from auth_middleware import Auth, AuthSettings, StoreUnavailable
from dev.cookies import SECRET, signed
from dev.postgres import EmbeddedPostgres
from dev.postgres_proxies import counting_proxy
from dev.sessions import create_tables, sign_in

CONCURRENT = 256
TIMEOUT_SECONDS = 5.0
KNOWN_SECONDS = 2.0


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


async def measure(dsn: str, cookie_value: str) -> tuple[Held, Held, float]:
    settings = AuthSettings(
        database_url=dsn, secret=SECRET, base_url="http://auth.test", lookup_timeout_seconds=TIMEOUT_SECONDS
    )
    with counting_proxy(dsn) as proxy:
        auth = Auth(settings.model_copy(update={"database_url": SecretStr(proxy.dsn)}))
        assert await auth.validate_session(cookie_value)
        with proxy.frozen():
            # One request of each client; then, at the latest, a probe has timed out too.
            unknown = await hold(auth.validate_session, cookie_value, TIMEOUT_SECONDS / 2)
            await asyncio.sleep(TIMEOUT_SECONDS)
            known = await hold(auth.validate_session, cookie_value, KNOWN_SECONDS)
        recovered = await seconds_until_answered(auth.validate_session, cookie_value)
        await auth.close()
    return unknown, known, recovered


def main() -> int:
    logging.getLogger("auth_middleware").setLevel(logging.ERROR)
    with EmbeddedPostgres() as postgres:
        dsn = postgres.create_database("outage")
        create_tables(dsn)
        [token] = sign_in(dsn, ["Ada"])
        unknown, known, recovered = asyncio.run(measure(dsn, signed(token)))
    print(f"{CONCURRENT} clients, frozen database   503 a second   held (median)")
    for name, held in (("not yet known to be down", unknown), ("known to be down", known)):
        print(f"{name:<30}{held.per_second:>15,.0f}{held.median * 1000:>13,.1f} ms")
    print(f"held {unknown.median / known.median:,.0f} times shorter; used again after {recovered:.2f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
