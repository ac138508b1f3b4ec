"""Where the listener's connection leads, and how little its role may."""

import asyncio
from collections.abc import Callable, Generator

import pytest

from dev.postgres import EmbeddedPostgres
from dev.postgres_proxies import counting_proxy
from tests.postgres.conftest import Role
from tests.support.databases import Database
from tests.support.live import QUICK, MakeLive, cache_warnings, migrate_live


@pytest.fixture(params=["another database", "another server"])
def elsewhere(request: pytest.FixtureRequest) -> str:
    """A DSN where `LISTEN` succeeds and nobody notifies."""
    if request.param == "another database":
        return request.getfixturevalue("empty_database").dsn
    return request.getfixturevalue("other_server").dsn()


@pytest.fixture
def other_server() -> Generator[EmbeddedPostgres]:
    with EmbeddedPostgres() as postgres:
        yield postgres


async def test_a_listener_on_another_server_is_logged_once_and_the_store_is_queried(
    database: Database, elsewhere: str, make_live: MakeLive, caplog: pytest.LogCaptureFixture
) -> None:
    await migrate_live(database.dsn)
    who = database.sign_in()
    live = make_live(listen_database_url=elsewhere, **QUICK)
    await live.auth.open()
    await live.assert_queries_store(who)
    [warning] = cache_warnings(caplog)
    assert "another server or database" in warning
    assert "AUTH_MIDDLEWARE_LISTEN_DATABASE_URL" in warning
    database.execute("DELETE FROM session")
    assert await live.user_id(who) is None


async def test_a_late_heartbeat_counts_from_when_it_was_sent(database: Database, make_live: MakeLive) -> None:
    await migrate_live(database.dsn)
    who = database.sign_in()
    heartbeat = 3
    with counting_proxy(database.dsn) as look_ups, counting_proxy(database.dsn) as listener:
        live = make_live(look_ups.dsn, listen_database_url=listener.dsn, heartbeat_seconds=heartbeat)
        await live.wait_until_cached(who)
        with look_ups.frozen():
            # One is sent in here and heard at once, but answered only afterwards.
            await asyncio.sleep(0.9 * heartbeat)
            listener.freeze()
            database.execute("DELETE FROM session")
        await asyncio.sleep(0.8 * heartbeat)
        assert await live.user_id(who) is None
        await live.auth.close()


async def test_tables_that_move_to_another_schema_are_followed(database: Database, make_live: MakeLive) -> None:
    dsn = f"{database.dsn}?options=-csearch_path%3Dpublic,other"
    await migrate_live(dsn)
    who = database.sign_in()
    live = make_live(dsn, **QUICK)
    await live.wait_until_cached(who)
    database.execute("""
        CREATE SCHEMA other;
        ALTER TABLE "user" SET SCHEMA other;
        ALTER TABLE session SET SCHEMA other;
        DO $$ DECLARE t record; BEGIN
            FOR t IN SELECT tgname, tgrelid FROM pg_trigger WHERE NOT tgisinternal
            LOOP EXECUTE format('DROP TRIGGER %I ON %s', t.tgname, t.tgrelid::regclass); END LOOP;
        END $$""")
    await live.wait_until_evicted(who)
    await migrate_live(dsn)
    await live.wait_until_cached(who)
    database.execute("DELETE FROM other.session")
    await live.wait_until_refused(who)


async def test_the_least_rights_are_enough(
    database: Database, make_live: MakeLive, make_role: Callable[..., Role], caplog: pytest.LogCaptureFixture
) -> None:
    await migrate_live(database.dsn)
    who = database.sign_in()
    reader, listener = make_role(), make_role()
    database.execute(f"""
        REVOKE ALL ON DATABASE "{database.name}" FROM PUBLIC;
        REVOKE ALL ON SCHEMA public FROM PUBLIC;
        GRANT CONNECT ON DATABASE "{database.name}" TO {reader.name}, {listener.name};
        GRANT USAGE ON SCHEMA public TO {reader.name};
        GRANT SELECT ON "user", session TO {reader.name};
        ALTER ROLE {reader.name} SET default_transaction_read_only = on;
        ALTER ROLE {listener.name} SET default_transaction_read_only = on;
    """)
    live = make_live(reader.dsn(database), listen_database_url=listener.dsn(database), **QUICK)
    await live.wait_until_cached(who)
    database.execute("DELETE FROM session")
    await live.wait_until_refused(who)
    assert cache_warnings(caplog) == []


async def test_a_listener_that_may_not_connect_is_logged_once_without_its_password(
    database: Database, make_live: MakeLive, make_role: Callable[..., Role], caplog: pytest.LogCaptureFixture
) -> None:
    await migrate_live(database.dsn)
    who = database.sign_in()
    listener = make_role("CONNECTION LIMIT 0")
    live = make_live(listen_database_url=listener.dsn(database), **QUICK)
    await live.auth.open()
    await live.assert_queries_store(who)
    [warning] = cache_warnings(caplog)
    assert "no connection to database" in warning
    assert listener.password not in caplog.text
