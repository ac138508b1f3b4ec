"""Through a transaction pooler LISTEN succeeds and hears nothing; look-ups may go through one all the same."""

import asyncio
from collections.abc import Generator

import pytest

from dev.pgbouncer import PgBouncer
from dev.postgres import EmbeddedPostgres
from dev.postgres_proxies import counting_proxy
from tests.support.databases import Database
from tests.support.live import QUICK, MakeLive, cache_warnings, migrate_live

pytestmark = pytest.mark.needs("pgbouncer")


@pytest.fixture
def pooler(postgres: EmbeddedPostgres) -> Generator[PgBouncer]:
    with PgBouncer(postgres) as pooler:
        yield pooler


async def test_a_listener_that_hears_nothing_is_told_of_once_and_the_store_is_asked(
    database: Database, pooler: PgBouncer, make_live: MakeLive, caplog: pytest.LogCaptureFixture
) -> None:
    await migrate_live(database.dsn)
    who = database.sign_in()
    live = make_live(pooler.dsn(database.name), **QUICK)
    await live.auth.open()
    await live.assert_queries_store(who)
    [warning] = cache_warnings(caplog)
    assert "Set AUTH_MIDDLEWARE_LISTEN_DATABASE_URL to a direct one" in warning
    database.execute("DELETE FROM session")
    assert await live.user_id(who) is None


async def test_a_listener_that_hears_nothing_leaves_no_more_behind_at_each_attempt(
    postgres: EmbeddedPostgres, database: Database, make_live: MakeLive
) -> None:
    await migrate_live(database.dsn)
    who = database.sign_in()
    with (
        PgBouncer(postgres, settings={"default_pool_size": "1"}) as pooler,
        counting_proxy(pooler.dsn(database.name)) as proxy,
    ):
        live = make_live(listen_database_url=proxy.dsn, max_age_seconds=3600, heartbeat_seconds=0.2)

        async def after_attempts(count: int) -> list[tuple[str]]:
            while proxy.statements < count:
                assert await live.user_id(who) == who.user_id
                await asyncio.sleep(0.01)
            # What listens is the pooler's connection, and it outlives ours.
            return Database(pooler.dsn(database.name)).fetch("SELECT pg_listening_channels()")

        first = await after_attempts(1)
        assert len(first) == 2
        assert await after_attempts(4) == first
        await live.auth.close()


async def test_look_ups_through_a_pooler_are_kept_where_the_listener_has_a_way_of_its_own(
    database: Database, pooler: PgBouncer, make_live: MakeLive, caplog: pytest.LogCaptureFixture
) -> None:
    await migrate_live(database.dsn)
    who, other = database.sign_in(), database.sign_in()
    live = make_live(pooler.dsn(database.name), listen_database_url=database.dsn)
    await live.wait_until_cached(who)
    await live.wait_until_cached(other)
    database.execute(f"DELETE FROM session WHERE id = '{who.session_id}'")
    await live.wait_until_refused(who)
    assert await live.cached_user_id(other) == other.user_id
    assert cache_warnings(caplog) == []


async def test_a_session_pooler_is_as_good_as_none(
    postgres: EmbeddedPostgres, database: Database, make_live: MakeLive
) -> None:
    await migrate_live(database.dsn)
    who = database.sign_in()
    with PgBouncer(postgres, settings={"pool_mode": "session"}) as pooler:
        live = make_live(pooler.dsn(database.name))
        await live.wait_until_cached(who)
        database.execute("DELETE FROM session")
        await live.wait_until_refused(who)
        await live.auth.close()
