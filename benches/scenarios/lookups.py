"""Lookups through asyncio: from a signed cookie to two models, with a database query each time."""

import asyncio
import itertools
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple

from auth_middleware import Auth, AuthSettings
from benches.contenders import hand_written, psqlpy
from benches.contenders.bridge import Bridge
from benches.figures import Competition, Round
from benches.scenarios.setup import credentials
from benches.scenarios.setup.rounds import Lengths, turns
from dev.cookies import SECRET

CONCURRENT = (1, 8, 64, 256)
DELAYS_MS = (2, 20)
CHECKED = 500
OURS, OURS_PREPARED, HAND_WRITTEN, PSQLPY, BRIDGE = "ours", "ours_prepared", "hand_written", "psqlpy", "bridge"


class Contender(NamedTuple):
    """`prepare` extracts the credential before it is verified, and is not part of the measurement."""

    validate: Callable[[Any], Awaitable[Any | None]]
    prepare: Callable[[str], Any] = str


Contenders = Mapping[str, Contender]


@asynccontextmanager
async def opened(dsn: str, names: Sequence[str]) -> AsyncGenerator[Contenders]:
    async with AsyncExitStack() as stack:
        yield {name: await OPEN[name](dsn, stack) for name in names}


async def open_ours(dsn: str, stack: AsyncExitStack, **settings: Any) -> Contender:
    auth = Auth(AuthSettings(database_url=dsn, secret=SECRET, base_url="http://auth.test", **settings))
    stack.push_async_callback(auth.close)
    return Contender(auth.validate_session)


async def open_ours_prepared(dsn: str, stack: AsyncExitStack) -> Contender:
    return await open_ours(dsn, stack, prepared_statements="on")


async def open_hand_written(dsn: str, stack: AsyncExitStack) -> Contender:
    middleware = await hand_written.Middleware.open(dsn, SECRET)
    stack.push_async_callback(middleware.close)
    return Contender(middleware.validate_session)


async def open_psqlpy(dsn: str, stack: AsyncExitStack) -> Contender:
    middleware = psqlpy.Middleware(dsn, SECRET)
    stack.callback(middleware.close)
    return Contender(middleware.validate_session)


async def open_bridge(dsn: str, stack: AsyncExitStack) -> Contender:
    bridge = Bridge(dsn, SECRET)
    stack.push_async_callback(bridge.close)
    return Contender(bridge.verify, bridge.extract)


OPEN: Mapping[str, Callable[[str, AsyncExitStack], Awaitable[Contender]]] = {
    OURS: open_ours,
    OURS_PREPARED: open_ours_prepared,
    HAND_WRITTEN: open_hand_written,
    PSQLPY: open_psqlpy,
    BRIDGE: open_bridge,
}


async def compete(
    dsn: str, names: Sequence[str], users: Mapping[str, str], lengths: Lengths, delay_ms: float = 0
) -> list[Competition]:
    """One competition for each number of concurrent lookups."""
    seconds = lengths.delayed_seconds if delay_ms else lengths.lookup_seconds
    async with opened(dsn, names) as contenders:
        for contender in contenders.values():
            await check(contender, users)
        presented = {name: shuffled(users, each) for name, each in contenders.items()}
        return [
            Competition(
                load=concurrent,
                delay_ms=delay_ms,
                rounds=await rounds(contenders, presented, concurrent, lengths.rounds, seconds),
            )
            for concurrent in CONCURRENT
        ]


async def refuse(dsn: str, users: Mapping[str, str], lengths: Lengths) -> Competition:
    """Sends forged cookies one after the other. None of them may cause a query."""
    async with opened(dsn, [OURS, HAND_WRITTEN, BRIDGE]) as contenders:
        forged = {credentials.forge(cookie_value): "" for cookie_value in users}
        presented = {name: shuffled(forged, each) for name, each in contenders.items()}
        done = await rounds(contenders, presented, 1, lengths.rounds, lengths.lookup_seconds, is_forged=True)
        return Competition(load=1, rounds=done)


async def check(contender: Contender, users: Mapping[str, str]) -> None:
    """Checks that it identifies users correctly, which also opens its connections."""
    if await contender.validate(contender.prepare(credentials.forge(next(iter(users))))) is not None:
        raise AssertionError("a forged cookie was accepted")

    async def check_one(cookie_value: str, name: str) -> None:
        found = await contender.validate(contender.prepare(cookie_value))
        if found is None or found.user.name != name:
            raise AssertionError(f"expected {name}, got {found and found.user.name}")

    remaining = itertools.islice(users.items(), CHECKED)
    while batch := list(itertools.islice(remaining, 64)):
        await asyncio.gather(*itertools.starmap(check_one, batch))


async def rounds(
    contenders: Contenders,
    presented: Mapping[str, Sequence[Any]],
    concurrent: int,
    number: int,
    seconds: float,
    *,
    is_forged: bool = False,
) -> Mapping[str, list[Round]]:
    done: dict[str, list[Round]] = {name: [] for name in contenders}
    for turn in turns(list(contenders), number, seconds):
        validate = contenders[turn.contender].validate
        found = await run_round(validate, presented[turn.contender], concurrent, turn.seconds, is_forged=is_forged)
        if turn.is_counted:
            done[turn.contender].append(found)
    return done


async def run_round(
    validate: Callable[[Any], Awaitable[Any | None]],
    presented: Sequence[Any],
    concurrent: int,
    seconds: float,
    *,
    is_forged: bool,
) -> Round:
    latencies: list[float] = []
    # Shared by all workers: each takes the next credential.
    remaining = itertools.cycle(presented)
    started, started_cpu = time.perf_counter(), time.process_time()
    deadline = started + seconds

    async def worker() -> None:
        before = time.perf_counter()
        while before < deadline:
            if (await validate(next(remaining)) is None) != is_forged:
                raise AssertionError("unexpected result")
            after = time.perf_counter()
            latencies.append(after - before)
            before = after

    await asyncio.gather(*(worker() for _ in range(concurrent)))
    took, took_cpu = time.perf_counter() - started, time.process_time() - started_cpu
    latencies.sort()
    p50, p99 = (latencies[int(len(latencies) * part)] for part in (0.5, 0.99))
    return Round(len(latencies) / took, p50, p99, took_cpu / len(latencies))


def shuffled(users: Mapping[str, str], contender: Contender) -> Sequence[Any]:
    """The credentials in random order, so that they do not follow the order of database pages; the same for every
    contender."""
    presented = [contender.prepare(cookie_value) for cookie_value in users]
    random.Random(1).shuffle(presented)
    return presented
