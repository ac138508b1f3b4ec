"""A bridge is closed with its event loop, and a cancelled request leaves nothing in memory."""

import asyncio
import gc
import os
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop
from starlette.testclient import TestClient

from auth_middleware import Auth, Identity
from dev.postgres_proxies import counting_proxy
from tests.support.applications import guarded
from tests.support.databases import Database, SignedIn
from tests.support.instances import MakeAuth
from tests.support.loops import UnwatchingLoop, WatchedLoop
from tests.support.polling import until, wait_until

NewLoop = Callable[[], asyncio.AbstractEventLoop]
LOOPS = [asyncio.SelectorEventLoop, uvloop.new_event_loop, UnwatchingLoop]


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def identify(auth: Auth, who: SignedIn) -> None:
    identity = await auth.validate_session(who.cookie_value)
    assert identity
    assert identity.user.id == who.user_id


def run_in(new_loop: NewLoop, auth: Auth, who: SignedIn) -> "weakref.ref[asyncio.AbstractEventLoop]":
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(identify(auth, who))
        return weakref.ref(runner.get_loop())


def assert_nothing_is_left(loops: "list[weakref.ref[asyncio.AbstractEventLoop]]", open_before: int) -> None:
    """Polls, because a thread that called a loop without sockets may release it a moment later."""

    def is_nothing_left() -> bool:
        gc.collect()
        return not any(each() for each in loops) and open_files() == open_before

    wait_until(is_nothing_left)


@pytest.mark.parametrize("new_loop", LOOPS)
def test_a_hundred_loops_leave_no_loop_and_no_socket(
    make_auth: MakeAuth, database: Database, new_loop: NewLoop
) -> None:
    auth, who = make_auth(pool_size=1), database.sign_in()
    run_in(new_loop, auth, who)
    gc.collect()
    before = open_files()
    loops = [run_in(new_loop, auth, who) for _ in range(100)]
    assert_nothing_is_left(loops, before)


def test_a_running_loop_keeps_one_bridge_while_other_loops_come_and_go(make_auth: MakeAuth, database: Database) -> None:
    auth, who = make_auth(pool_size=1), database.sign_in()
    with asyncio.Runner(loop_factory=WatchedLoop) as runner:
        for _ in range(20):
            runner.run(identify(auth, who))
            run_in(asyncio.SelectorEventLoop, auth, who)
        event_loop = runner.get_loop()
        assert isinstance(event_loop, WatchedLoop)
        assert len(event_loop.watched) == 1


def say_nothing(_loop: object, _context: object) -> None:
    pass


@pytest.mark.parametrize("new_loop", LOOPS)
def test_loops_closed_during_lookups_leave_nothing_once_the_lookups_end(
    make_auth: MakeAuth, database: Database, new_loop: NewLoop
) -> None:
    auth, who = make_auth(pool_size=1, lookup_timeout_seconds=30), database.sign_in()
    run_in(new_loop, auth, who)
    gc.collect()
    before = open_files()
    loops: list[weakref.ref[asyncio.AbstractEventLoop]] = []
    with database.locked() as blocked:
        for _ in range(20):
            event_loop = new_loop()
            event_loop.set_exception_handler(say_nothing)  # expected: "Task was destroyed but it is pending!"
            task = event_loop.create_task(identify(auth, who))
            event_loop.run_until_complete(asyncio.sleep(0))
            assert not task.done()
            loops.append(weakref.ref(event_loop))
            event_loop.close()
            del event_loop, task
        wait_until(lambda: blocked() > 0)
    run_in(new_loop, auth, who)
    assert_nothing_is_left(loops, before)


def test_requests_in_separate_loops_get_their_results(make_auth: MakeAuth, database: Database) -> None:
    auth, who = make_auth(pool_size=1), database.sign_in()
    # Outside of `with`, TestClient starts a loop for each request.
    client = TestClient(guarded(auth))
    assert client.get("/required", headers=who.headers).json() == who.user_id
    gc.collect()
    before = open_files()
    for _ in range(30):
        assert client.get("/required", headers=who.headers).json() == who.user_id
    assert_nothing_is_left([], before)


async def cancelled(auth: Auth, who: SignedIn, number: int) -> None:
    tasks = [asyncio.create_task(auth.validate_session(who.cookie_value)) for _ in range(number)]
    await asyncio.sleep(0)
    for each in tasks:
        each.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(each, asyncio.CancelledError) for each in ended)


def test_thousands_of_cancelled_requests_leave_nothing_while_the_store_hangs(
    make_auth: MakeAuth, database: Database
) -> None:
    stays, *gone = [database.sign_in() for _ in range(5)]
    auth = make_auth(max_waiting=100, lookup_timeout_seconds=300)

    async def main() -> None:
        await identify(auth, stays)
        with database.locked() as blocked:
            waiting = asyncio.create_task(auth.validate_session(stays.cookie_value))
            await until(lambda: blocked() == 1)
            for _ in range(20):
                await cancelled(auth, gone[0], 90)
            gc.collect()
            before = open_files(), resident_bytes()
            for _ in range(100):
                for who in gone:
                    await cancelled(auth, who, 90)
            await asyncio.sleep(0)  # asyncio itself references the last callback
            gc.collect()
            assert open_files() == before[0]
            assert resident_bytes() - before[1] < 2**22
            event_loop = asyncio.get_running_loop()
            assert isinstance(event_loop, WatchedLoop)
            assert len(event_loop.futures) == 1
            assert not waiting.done()
            # Their capacity is free again, so as many new requests can wait.
            come_later = [asyncio.create_task(identify(auth, gone[0])) for _ in range(99)]
            await asyncio.sleep(0)
        identity = await waiting
        assert isinstance(identity, Identity)
        assert identity.user.id == stays.user_id
        await asyncio.gather(*come_later)
        await auth.close()

    with asyncio.Runner(loop_factory=WatchedLoop) as runner:
        runner.run(main())


async def test_a_lookup_cancelled_before_it_is_sent_costs_no_statement(make_auth: MakeAuth, database: Database) -> None:
    everybody = [database.sign_in() for _ in range(80)]
    with counting_proxy(database.dsn) as proxy:
        auth = make_auth(database_url=proxy.dsn, pool_size=1, lookup_timeout_seconds=30)
        await identify(auth, everybody[0])
        before = proxy.statements
        with database.locked() as blocked:
            first = asyncio.create_task(identify(auth, everybody[0]))
            await until(lambda: blocked() == 1)
            for who in everybody:
                await cancelled(auth, who, 3)
        await first
        await identify(auth, everybody[1])
        assert proxy.statements - before == 2
        await auth.close()
