"""Look-ups through asyncio: from a signed cookie to two models, asking the database every time."""

import asyncio
import itertools
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple

from auth_middleware import Auth, AuthSettings
from benches import credentials, handwritten
from benches.contenders import psqlpy
from benches.contenders.bridge import Bridge
from benches.figures import Competition, Round
from benches.turns import Lengths, turns
from tests.support.cookies import SECRET

CONCURRENT = (1, 8, 64, 256)
DELAYS_MS = (2, 20)
CHECKED = 500
OURS, OURS_PREPARED, BY_HAND, PSQLPY, BRIDGE = "ours", "ours_prepared", "by_hand", "psqlpy", "bridge"


class Contender(NamedTuple):
    """`prepared` is what it takes out of the request before it checks anything: that is not measured."""

    validate: Callable[[Any], Awaitable[Any | None]]
    prepared: Callable[[str], Any] = str


Contenders = Mapping[str, Contender]


@asynccontextmanager
async def opened(dsn: str, names: Sequence[str]) -> AsyncGenerator[Contenders]:
    async with AsyncExitStack() as stack:
        yield {name: await OPEN[name](dsn, stack) for name in names}


async def ours(dsn: str, stack: AsyncExitStack, **settings: Any) -> Contender:
    auth = Auth(AuthSettings(database_url=dsn, secret=SECRET, base_url="http://auth.test", **settings))
    stack.push_async_callback(auth.close)
    return Contender(auth.validate_session)


async def ours_prepared(dsn: str, stack: AsyncExitStack) -> Contender:
    return await ours(dsn, stack, prepared_statements="on")


async def by_hand(dsn: str, stack: AsyncExitStack) -> Contender:
    middleware = await handwritten.Middleware.open(dsn, SECRET)
    stack.push_async_callback(middleware.close)
    return Contender(middleware.validate_session)


async def by_psqlpy(dsn: str, stack: AsyncExitStack) -> Contender:
    middleware = psqlpy.Middleware(dsn, SECRET)
    stack.callback(middleware.close)
    return Contender(middleware.validate_session)


async def by_bridge(dsn: str, stack: AsyncExitStack) -> Contender:
    bridge = Bridge(dsn, SECRET)
    stack.push_async_callback(bridge.close)
    return Contender(bridge.verify, bridge.extract)


OPEN: Mapping[str, Callable[[str, AsyncExitStack], Awaitable[Contender]]] = {
    OURS: ours,
    OURS_PREPARED: ours_prepared,
    BY_HAND: by_hand,
    PSQLPY: by_psqlpy,
    BRIDGE: by_bridge,
}


async def compete(
    dsn: str, names: Sequence[str], people: Mapping[str, str], lengths: Lengths, delay_ms: float = 0
) -> list[Competition]:
    """One competition for each number of look-ups at a time."""
    seconds = lengths.delayed_seconds if delay_ms else lengths.lookup_seconds
    async with opened(dsn, names) as contenders:
        for contender in contenders.values():
            await check(contender, people)
        shown = {name: shuffled(people, each) for name, each in contenders.items()}
        return [
            Competition(
                load=concurrent,
                delay_ms=delay_ms,
                rounds=await rounds(contenders, shown, concurrent, lengths.rounds, seconds),
            )
            for concurrent in CONCURRENT
        ]


async def refuse(dsn: str, people: Mapping[str, str], lengths: Lengths) -> Competition:
    """Cookies of which nobody signed one, one after the other: none may reach the database."""
    async with opened(dsn, [OURS, BY_HAND, BRIDGE]) as contenders:
        forged = {credentials.forge(cookie_value): "" for cookie_value in people}
        shown = {name: shuffled(forged, each) for name, each in contenders.items()}
        done = await rounds(contenders, shown, 1, lengths.rounds, lengths.lookup_seconds, is_forged=True)
        return Competition(load=1, rounds=done)


async def check(contender: Contender, people: Mapping[str, str]) -> None:
    """Does it answer right? It opens connections and warms up, too."""
    if await contender.validate(contender.prepared(credentials.forge(next(iter(people))))) is not None:
        raise AssertionError("a forged cookie was taken")

    async def ask(cookie_value: str, name: str) -> None:
        found = await contender.validate(contender.prepared(cookie_value))
        if found is None or found.user.name != name:
            raise AssertionError(f"{name} was taken for {found and found.user.name}")

    waiting = itertools.islice(people.items(), CHECKED)
    while some := list(itertools.islice(waiting, 64)):
        await asyncio.gather(*itertools.starmap(ask, some))


async def rounds(
    contenders: Contenders,
    shown: Mapping[str, Sequence[Any]],
    concurrent: int,
    number: int,
    seconds: float,
    *,
    is_forged: bool = False,
) -> Mapping[str, list[Round]]:
    done: dict[str, list[Round]] = {name: [] for name in contenders}
    for turn in turns(list(contenders), number, seconds):
        validate = contenders[turn.contender].validate
        found = await ask_for_a_while(validate, shown[turn.contender], concurrent, turn.seconds, is_forged=is_forged)
        if turn.is_counted:
            done[turn.contender].append(found)
    return done


async def ask_for_a_while(
    validate: Callable[[Any], Awaitable[Any | None]],
    shown: Sequence[Any],
    concurrent: int,
    seconds: float,
    *,
    is_forged: bool,
) -> Round:
    latencies: list[float] = []
    # One for all: whoever asks next shows the next.
    waiting = itertools.cycle(shown)
    started, started_cpu = time.perf_counter(), time.process_time()
    deadline = started + seconds

    async def ask() -> None:
        before = time.perf_counter()
        while before < deadline:
            if (await validate(next(waiting)) is None) != is_forged:
                raise AssertionError("the wrong answer")
            after = time.perf_counter()
            latencies.append(after - before)
            before = after

    await asyncio.gather(*(ask() for _ in range(concurrent)))
    took, took_cpu = time.perf_counter() - started, time.process_time() - started_cpu
    latencies.sort()
    p50, p99 = (latencies[int(len(latencies) * part)] for part in (0.5, 0.99))
    return Round(len(latencies) / took, p50, p99, took_cpu / len(latencies))


def shuffled(people: Mapping[str, str], contender: Contender) -> Sequence[Any]:
    """In no order that the database's pages have; the same for all."""
    shown = [contender.prepared(cookie_value) for cookie_value in people]
    random.Random(1).shuffle(shown)
    return shown
