"""How results reach the event loop from Rust's threads: without the GIL, and with one wake-up for many results."""

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import pytest

from auth_middleware import Auth
from dev.cookies import new_token, signed
from dev.postgres_proxies import Counter, counting_proxy_process
from tests.support.databases import Database
from tests.support.instances import MakeAuth
from tests.support.loops import UnwatchingLoop, WatchedLoop
from tests.support.polling import TIMEOUT_SECONDS

# One connection sends this many statements, with up to 64 tokens each.
STATEMENTS = 5
TOKENS = 64 * (STATEMENTS - 1) + 1


@contextmanager
def nobody_else_runs() -> Generator[None]:
    """In this context, a thread gets the GIL only if another one releases it voluntarily."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)


def busy_until(counter: Counter, number: int) -> bool:
    """Runs only Python code, which never releases the GIL. Returns whether the number was reached."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while counter.value < number:
        if time.monotonic() > deadline:
            return False
    return True


def asleep_until(counter: Counter, number: int) -> bool:
    """Blocks the event loop, but lets other threads run."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while counter.value < number:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.001)
    return True


async def ask_while(
    auth: Auth, counter: Counter, values: list[str], blocked_until: Callable[[Counter, int], bool]
) -> tuple[bool, list[Any]]:
    """Starts all lookups at once, then blocks the loop until the last statement was sent. By then the results of the
    others have arrived, since one connection sends one statement after another."""
    last = counter.value + STATEMENTS
    tasks = [asyncio.create_task(auth.validate_session(value)) for value in values]

    async def block() -> bool:
        return blocked_until(counter, last)

    was_reached = await asyncio.create_task(block())
    return was_reached, await asyncio.gather(*tasks)


def test_results_are_passed_on_while_python_holds_the_gil(make_auth: MakeAuth, database: Database) -> None:
    who = database.sign_in()
    values = [*(signed(new_token()) for _ in range(TOKENS - 1)), who.cookie_value]

    async def main() -> tuple[bool, list[Any]]:
        await auth.validate_session(who.cookie_value)
        with nobody_else_runs():
            return await ask_while(auth, counter, values, busy_until)

    with counting_proxy_process(database.dsn) as (dsn, counter):
        auth = make_auth(database_url=dsn, pool_size=1, lookup_timeout_seconds=TIMEOUT_SECONDS * 2)
        was_reached, found = asyncio.run(main())
        asyncio.run(auth.close())
    assert was_reached, "passing on a result waits for the GIL"
    assert [identity and identity.user.id for identity in found] == [None] * (TOKENS - 1) + [who.user_id]


@pytest.mark.parametrize("loop_type", [WatchedLoop, UnwatchingLoop])
def test_the_loop_is_woken_once_for_all_finished_lookups(
    make_auth: MakeAuth, database: Database, loop_type: type[WatchedLoop]
) -> None:
    values = [signed(new_token()) for _ in range(TOKENS)]

    async def main(auth: Auth, counter: Counter, event_loop: WatchedLoop) -> None:
        await auth.validate_session(values[0])
        event_loop.done_after_wakes.clear()
        calls_before = event_loop.calls
        calls: list[int] = []

        def blocked_until(counter: Counter, number: int) -> bool:
            was_reached = asleep_until(counter, number)
            calls.append(event_loop.calls - calls_before)
            return was_reached

        was_reached, found = await ask_while(auth, counter, values, blocked_until)
        assert was_reached
        assert found == [None] * TOKENS
        assert calls == [1 if loop_type is UnwatchingLoop else 0]
        # All results that had arrived when the loop was woken. Only those of the last statement may have come later.
        assert event_loop.done_after_wakes[0] >= TOKENS - 64

    with counting_proxy_process(database.dsn) as (dsn, counter), asyncio.Runner(loop_factory=loop_type) as runner:
        auth = make_auth(database_url=dsn, pool_size=1, lookup_timeout_seconds=TIMEOUT_SECONDS * 2)
        event_loop = runner.get_loop()
        assert isinstance(event_loop, loop_type)
        runner.run(main(auth, counter, event_loop))
        runner.run(auth.close())


@pytest.mark.parametrize("loop_type", [WatchedLoop, UnwatchingLoop])
def test_the_loops_own_thread_resolves_its_lookups(
    make_auth: MakeAuth, database: Database, loop_type: type[WatchedLoop]
) -> None:
    everybody = [database.sign_in() for _ in range(40)]
    auths = [make_auth(), make_auth(pool_size=1)]
    problems: list[BaseException] = []

    async def main() -> None:
        for auth in auths * 3:
            found = await asyncio.gather(*(auth.validate_session(who.cookie_value) for who in everybody))
            assert [identity and identity.user.id for identity in found] == [who.user_id for who in everybody]

    def in_a_thread() -> None:
        try:
            with asyncio.Runner(loop_factory=loop_type) as runner:
                event_loop = runner.get_loop()
                assert isinstance(event_loop, WatchedLoop)
                runner.run(main())
                assert event_loop.resolved_by == {threading.get_ident()}
                # Several instances and many lookups share one bridge.
                assert len(event_loop.watched) == (0 if loop_type is UnwatchingLoop else 1)
        except BaseException as problem:  # noqa: BLE001 - raised by the test's own thread
            problems.append(problem)

    threads = [threading.Thread(target=in_a_thread) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT_SECONDS)
        assert not thread.is_alive()
    assert problems == []


def test_a_loop_that_cannot_watch_sockets_is_called_instead(make_auth: MakeAuth, database: Database) -> None:
    who = database.sign_in()

    async def main() -> None:
        identity = await make_auth().validate_session(who.cookie_value)
        assert identity
        assert identity.user.id == who.user_id

    for _ in range(3):
        with asyncio.Runner(loop_factory=UnwatchingLoop) as runner:
            runner.run(main())
