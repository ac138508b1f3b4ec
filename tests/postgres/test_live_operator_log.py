"""What operators are told of the feed of changes: whatever they must know, and nothing twice."""

from typing import Any

import psycopg
import pytest

from auth_middleware import Auth, AuthSettings, ConfigurationError
from dev.postgres import EmbeddedPostgres
from tests.support.databases import TABLES, Database
from tests.support.instances import DEFAULTS
from tests.support.live import QUICK, MakeLive, cache_warnings, migrate_live

WORKS_AGAIN = 'freshness "live": the feed of changes works again'
END_LISTENER = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() \
AND application_name = 'auth_middleware listener'"


async def test_a_feed_that_comes_and_goes_is_one_trouble_with_one_end(
    database: Database, make_live: MakeLive, caplog: pytest.LogCaptureFixture
) -> None:
    await migrate_live(database.dsn)
    who = database.sign_in()
    live = make_live(**QUICK)
    for _ in range(4):
        await live.wait_until_cached(who)
        assert database.fetch(END_LISTENER) == [(1,)]
        await live.wait_until_evicted(who)
    assert "listener's connection ended" in "".join(cache_warnings(caplog))
    # Its end shows with the first lookup that follows.
    other = database.sign_in()
    while WORKS_AGAIN not in caplog.messages:
        await live.wait_until_cached(other)
        database.execute(f"UPDATE session SET updated_at = now() WHERE id = '{other.session_id}'")
        await live.wait_until_evicted(other)
    assert len(cache_warnings(caplog)) == 1
    assert caplog.messages.count(WORKS_AGAIN) == 1


async def test_a_queue_that_fills_up_is_told_of_before_changes_are_not(
    make_live: MakeLive, caplog: pytest.LogCaptureFixture
) -> None:
    with EmbeddedPostgres(settings={"max_notify_queue_pages": "64"}) as postgres:
        database = Database(postgres.create_database("small"))
        database.execute(TABLES.read_text())
        await migrate_live(database.dsn)
        who = database.sign_in()
        live = make_live(database.dsn, **QUICK)
        await live.wait_until_cached(who)
        with psycopg.connect(database.dsn) as listener:
            listener.execute("LISTEN anything")
            listener.commit()
            listener.execute("SELECT 1")
            while database.fetch("SELECT pg_notification_queue_usage() < 0.6") == [(True,)]:
                database.fetch("SELECT pg_notify('anything', repeat('a', 7000))")
            await live.wait_until_evicted(who)
            await live.assert_queries_store(who)
            [warning] = cache_warnings(caplog)
            assert "queue of notifications" in warning
        await live.wait_until_cached(who)
        database.execute("DELETE FROM session")
        await live.wait_until_refused(who)
        await live.auth.close()


async def test_neons_pooled_host_is_logged_once_and_the_store_is_queried(caplog: pytest.LogCaptureFixture) -> None:
    pooled = "postgresql://app:hunter2@ep-x-pooler.eu-1.aws.neon.tech/app?sslmode=require"
    auth = Auth(AuthSettings(database_url=pooled, freshness="live", **DEFAULTS))
    [warning] = cache_warnings(caplog)
    assert "AUTH_MIDDLEWARE_LISTEN_DATABASE_URL" in warning
    assert "hunter2" not in caplog.text
    assert auth.cache_size == (0, 0)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("freshness", "alive"),
        ("freshness", 0),
        ("freshness", True),
        ("max_cached_sessions", 0),
        ("max_cached_sessions", 10**30),
        ("max_age_seconds", -1),
        ("max_age_seconds", float("nan")),
        ("heartbeat_seconds", 0),
        ("heartbeat_seconds", "often"),
        ("listen_database_url", "hunter2"),
        ("listen_database_url", "postgresql://app:hunter2@/app?sslmode=maybe"),
    ],
)
def test_a_wrong_value_is_refused_by_name(setting: str, value: object) -> None:
    values: dict[str, Any] = {"database_url": "postgresql://app@db/app", "freshness": "live", **DEFAULTS}
    values[setting] = value
    with pytest.raises(ConfigurationError) as caught:
        Auth(AuthSettings(**values))
    assert setting in str(caught.value).lower()
    assert "hunter2" not in str(caught.value)
