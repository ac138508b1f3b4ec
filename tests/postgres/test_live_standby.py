"""A standby hears nothing and tells nothing: whatever leads there, the store is asked every time."""

from collections.abc import Generator

import pytest

from dev.postgres import EmbeddedPostgres
from dev.standbys import Standby
from tests.support.databases import Database
from tests.support.live import QUICK, MakeLive, cache_warnings, migrate_live


@pytest.fixture(scope="module")
def standby(postgres: EmbeddedPostgres) -> Generator[Standby]:
    with Standby(postgres) as standby:
        yield standby


@pytest.mark.parametrize("listens_at", ["standby", "primary"])
async def test_a_standby_is_asked_every_time_and_named(
    database: Database, standby: Standby, make_live: MakeLive, caplog: pytest.LogCaptureFixture, listens_at: str
) -> None:
    await migrate_live(database.dsn)
    who = database.sign_in()
    standby.catch_up()
    at_standby = standby.dsn(database.name)
    listener = database.dsn if listens_at == "primary" else at_standby
    live = make_live(at_standby, listen_database_url=listener, **QUICK)
    await live.auth.open()
    await live.assert_queries_store(who)
    [warning] = cache_warnings(caplog)
    assert "standby" in warning
    assert ("DATABASE_URL" if listens_at == "primary" else "the listener") in warning
    database.execute("DELETE FROM session")
    standby.catch_up()
    assert await live.user_id(who) is None


async def test_a_listener_at_a_standby_hears_nothing_and_is_named(
    database: Database, standby: Standby, make_live: MakeLive, caplog: pytest.LogCaptureFixture
) -> None:
    await migrate_live(database.dsn)
    who = database.sign_in()
    standby.catch_up()
    live = make_live(listen_database_url=standby.dsn(database.name), **QUICK)
    await live.auth.open()
    await live.assert_queries_store(who)
    [warning] = cache_warnings(caplog)
    assert "standby" in warning
    assert "AUTH_MIDDLEWARE_LISTEN_DATABASE_URL" in warning
    database.execute("DELETE FROM session")
    assert await live.user_id(who) is None


async def test_a_standby_that_was_promoted_is_as_good_as_any(
    postgres: EmbeddedPostgres, database: Database, make_live: MakeLive
) -> None:
    await migrate_live(database.dsn)
    who = database.sign_in()
    with Standby(postgres) as standby:
        standby.catch_up()
        live = make_live(standby.dsn(database.name), **QUICK)
        await live.assert_queries_store(who)
        standby.promote()
        await live.wait_until_cached(who)
        Database(standby.dsn(database.name)).execute("DELETE FROM session")
        await live.wait_until_refused(who)
        await live.auth.close()
