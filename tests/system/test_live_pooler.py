"""The live cache and PgBouncer: LISTEN does not work through a transaction pooler, but lookups do."""

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


async def test_a_listener_behind_a_transaction_pooler_is_logged_once_and_the_store_is_queried(
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


async def test_reconnecting_through_a_transaction_pooler_does_not_accumulate_channels(
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
            # The pooler's server connection listens, and it stays open when ours closes.
            return Database(pooler.dsn(database.name)).fetch("SELECT pg_listening_channels()")

        first = await after_attempts(1)
        assert len(first) == 2
        assert await after_attempts(4) == first
        await live.auth.close()


async def test_lookups_through_a_pooler_are_cached_if_the_listener_connects_directly(
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


async def test_the_listener_works_through_a_session_pooler(
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
