"""Processes that stand still, several event loops, and instances that are closed and used again."""

import asyncio
import threading
from collections.abc import Generator

import pytest

from dev.postgres_proxies import CountingProxy, counting_proxy
from tests.support.databases import Database
from tests.support.instances import DEFAULTS
from tests.support.live import QUICK, MakeLive, migrate_live
from tests.support.polling import until, wait_until
from tests.support.processes import ApplicationProcess, Outcome


@pytest.fixture
def listeners_way(database: Database) -> Generator[CountingProxy]:
    with counting_proxy(database.dsn) as proxy:
        yield proxy


async def test_a_process_that_stood_still_says_nothing_by_what_it_kept(
    database: Database, listeners_way: CountingProxy
) -> None:
    await migrate_live(database.dsn)
    who = database.sign_in()
    settings = {**DEFAULTS, **QUICK, "database_url": database.dsn, "listen_database_url": listeners_way.dsn}
    with ApplicationProcess(freshness="live", **settings) as application:

        def is_kept() -> bool:
            assert application.look_up(who.cookie_value).name
            return application.cache_hits() > 0

        wait_until(is_kept)
        with application.paused():
            first = application.start_lookups([who.cookie_value])
            # What the server tells of the sign-out never comes: the network died meanwhile.
            listeners_way.freeze()
            database.execute("DELETE FROM session")
            await asyncio.sleep(2 * QUICK["heartbeat_seconds"])
        assert first.result() == [Outcome(None)]


async def test_event_loops_share_what_is_kept(database: Database, make_live: MakeLive) -> None:
    await migrate_live(database.dsn)
    who, other = database.sign_in(), database.sign_in()
    live = make_live()
    await live.wait_until_cached(who)
    await live.wait_until_cached(other)

    def in_a_loop_of_its_own(answers: list[str | None]) -> None:
        answers += [asyncio.run(live.cached_user_id(other)) for _ in range(3)]

    heard: list[list[str | None]] = [[] for _ in range(4)]
    threads = [threading.Thread(target=in_a_loop_of_its_own, args=(answers,)) for answers in heard]
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join)
    assert heard == [[other.user_id] * 3] * 4
    database.execute(f"DELETE FROM session WHERE id = '{who.session_id}'")
    await live.wait_until_refused(who)
    assert await live.cached_user_id(other) == other.user_id


def connections(database: Database) -> int:
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'auth_middleware%%' \
             AND datname = current_database()"
    [(count,)] = database.fetch(query)
    return int(count)


@pytest.mark.parametrize("freshness", ["live", "3600"])
async def test_nothing_is_left_of_an_instance_that_was_closed(
    database: Database, make_live: MakeLive, freshness: str
) -> None:
    await migrate_live(database.dsn)
    who = database.sign_in()
    live = make_live(freshness=freshness)
    for _ in range(3):
        await live.wait_until_cached(who)
        await live.auth.close()
        await until(lambda: connections(database) == 0)
    await live.wait_until_cached(who)
    await live.auth.close()
    database.execute("DELETE FROM session")
    assert await live.user_id(who) is None, "what was kept before it was closed says nothing"


async def test_look_ups_that_hold_every_connection_cost_the_cache_and_nothing_else(
    database: Database, make_live: MakeLive
) -> None:
    await migrate_live(database.dsn)
    who, other = database.sign_in(), database.sign_in()
    live = make_live(**QUICK, pool_size=1, lookup_timeout_seconds=30)
    await live.wait_until_cached(who)
    with database.locked() as blocked:
        waiting = asyncio.create_task(live.user_id(other))
        await until(lambda: blocked() == 1)
        # No heartbeat finds a connection, so nothing is given any more, and this one waits as well.
        asked: list[asyncio.Task[str | None]] = []
        while all(task.done() for task in asked):
            asked.append(asyncio.create_task(live.user_id(who)))
            await asyncio.sleep(0.05)
    assert await waiting == other.user_id
    assert [await task for task in asked] == [who.user_id] * len(asked)
    await live.wait_until_cached(who)
    database.execute("DELETE FROM session")
    await live.wait_until_refused(who)
