"""Whatever happens to the feed of changes, nobody goes on being signed in by an answer that nobody vouches for."""

import asyncio
import logging

import psycopg
import pytest

from auth_middleware import StoreUnavailable
from dev.postgres import EmbeddedPostgres
from dev.postgres_proxies import counting_proxy
from tests.support.databases import Database, SignedIn, outage
from tests.support.live import QUICK, Live, MakeLive, migrate_live
from tests.support.polling import until

SWITCHED_OFF = {
    "dropped": """
        DO $$ DECLARE t record; BEGIN
            FOR t IN SELECT tgname FROM pg_trigger WHERE tgrelid = 'session'::regclass AND NOT tgisinternal
            LOOP EXECUTE format('DROP TRIGGER %I ON session', t.tgname); END LOOP;
        END $$""",
    "disabled": "ALTER TABLE session DISABLE TRIGGER USER",
    "not for replicas": "ALTER TABLE session ENABLE TRIGGER USER",
    "tables recreated": """
        ALTER TABLE session RENAME TO old_session;
        CREATE TABLE session (LIKE old_session INCLUDING ALL);
        INSERT INTO session SELECT * FROM old_session""",
    "inherited": "CREATE TABLE more_sessions () INHERITS (session)",
}


def listeners(database: Database) -> int:
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'auth_middleware listener' \
             AND datname = current_database()"
    [(count,)] = database.fetch(query)
    return int(count)


@pytest.mark.parametrize("how", SWITCHED_OFF)
async def test_without_its_triggers_every_request_queries_the_store_and_the_reason_is_logged(
    database: Database, make_live: MakeLive, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    await migrate_live(database.dsn)
    who = database.sign_in()
    live = make_live(**QUICK)
    await live.wait_until_cached(who)
    database.execute(SWITCHED_OFF[how])
    await live.wait_until_evicted(who)
    database.execute("DELETE FROM session")
    await live.wait_until_refused(who)
    told = [
        record.getMessage() for record in caplog.records if "every request queries the store" in record.getMessage()
    ]
    assert len(told) == 1
    assert all(record.levelno == logging.WARNING for record in caplog.records if record.getMessage() in told)
    if how != "inherited":
        assert "python -m auth_middleware migrate live" in told[0]


async def test_missing_triggers_are_logged_at_start(
    database: Database, make_live: MakeLive, caplog: pytest.LogCaptureFixture
) -> None:
    who = database.sign_in()
    live = make_live(**QUICK)
    await live.auth.open()
    assert "python -m auth_middleware migrate live" in caplog.text
    assert await live.user_id(who) == who.user_id
    assert await live.cached_user_id(who) is None
    await migrate_live(database.dsn)
    await live.wait_until_cached(who)
    database.execute("DELETE FROM session")
    await live.wait_until_refused(who)


async def test_a_sign_out_while_triggers_were_disabled_between_two_heartbeats_is_not_missed(
    database: Database, make_live: MakeLive
) -> None:
    await migrate_live(database.dsn)
    who = database.sign_in()
    live = make_live(**QUICK)
    await live.wait_until_cached(who)
    # In one transaction: no heartbeat can see it.
    database.execute("""
        DO $$ DECLARE t name; BEGIN
            ALTER TABLE session DISABLE TRIGGER USER;
            DELETE FROM session;
            FOR t IN SELECT tgname FROM pg_trigger WHERE tgrelid = 'session'::regclass AND NOT tgisinternal
            LOOP EXECUTE format('ALTER TABLE session ENABLE ALWAYS TRIGGER %I', t); END LOOP;
        END $$""")
    await live.wait_until_refused(who)


async def test_a_connection_that_dies_silently_is_trusted_for_a_heartbeat_at_most(
    database: Database, make_live: MakeLive
) -> None:
    await migrate_live(database.dsn)
    who = database.sign_in()
    with counting_proxy(database.dsn) as proxy:
        live = make_live(listen_database_url=proxy.dsn, **QUICK)
        await live.wait_until_cached(who)
        with proxy.frozen():
            database.execute("DELETE FROM session")
            await live.wait_until_refused(who)
        await live.wait_until_refused(who)


async def test_a_listener_that_is_terminated_reconnects_and_what_it_missed_is_evicted(
    database: Database, make_live: MakeLive
) -> None:
    await migrate_live(database.dsn)
    who, other = database.sign_in(), database.sign_in()
    live = make_live()
    await live.wait_until_cached(who)
    ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() \
             AND application_name = 'auth_middleware listener'"
    assert database.fetch(ended) == [(1,)]
    database.execute(f"DELETE FROM session WHERE id = '{who.session_id}'")
    await live.wait_until_refused(who)
    await live.wait_until_cached(other)
    database.execute("DELETE FROM session")
    await live.wait_until_refused(other)


async def test_an_outage_is_503_and_its_end_is_noticed(
    postgres: EmbeddedPostgres, database: Database, make_live: MakeLive
) -> None:
    await migrate_live(database.dsn)
    who = database.sign_in()
    live = make_live(**QUICK, lookup_timeout_seconds=1)
    await live.wait_until_cached(who)
    with outage(postgres):
        await live.wait_for(who, "unavailable", lambda each: answer_or_trouble(live, each))
    database.execute("DELETE FROM session")
    other = database.sign_in()
    await live.wait_for(other, other.user_id, lambda each: answer_or_trouble(live, each))
    assert await live.user_id(who) is None
    await live.wait_until_cached(other)


async def answer_or_trouble(live: Live, who: SignedIn) -> str | None:
    try:
        return await live.user_id(who)
    except StoreUnavailable:
        return "unavailable"


async def test_the_result_of_a_look_up_that_crosses_a_revocation_is_not_cached(
    database: Database, make_live: MakeLive
) -> None:
    await migrate_live(database.dsn)
    bystander, who = database.sign_in(), database.sign_in()
    with counting_proxy(database.dsn) as proxy:
        # One connection, which has prepared the statement when the proxy is frozen.
        live = make_live(proxy.dsn, listen_database_url=database.dsn, lookup_timeout_seconds=30, pool_size=1)
        await live.wait_until_cached(bystander)
        [(before,)] = database.fetch("SELECT clock_timestamp()")
        # While the proxy is frozen, the server runs the lookup, but its result does not arrive.
        with proxy.frozen():
            crossing = asyncio.create_task(live.user_id(who))
            has_run = (
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle' "
                "AND query LIKE '%%requested.key%%' AND query_start > %s"
            )
            await until(lambda: database.fetch(has_run, before) == [(1,)])
            database.execute("DELETE FROM session")
            await until(lambda: live.auth.cache_size.sessions == 0)  # the notification has arrived
        assert await crossing == who.user_id, "the lookup ran while the session existed"
        assert await live.user_id(who) is None


async def test_no_sign_out_is_lost_among_many_notifications(database: Database, make_live: MakeLive) -> None:
    await migrate_live(database.dsn)
    everybody = [database.sign_in() for _ in range(30)]
    live = make_live(**QUICK)
    for who in everybody:
        await live.wait_until_cached(who)
    [(channel,)] = database.fetch(
        "SELECT DISTINCT substring(prosrc FROM '(auth_middleware_[0-9a-f]{16})') FROM pg_proc WHERE prosrc LIKE %s",
        "%auth_middleware migrate live%",
    )
    with psycopg.connect(database.dsn, autocommit=True) as noisy:
        noisy.execute(
            "SELECT pg_notify(%s, encode(sha256(n::text::bytea), 'hex')) FROM generate_series(1, 50000) AS n", [channel]
        )
        database.execute(f"DELETE FROM session WHERE id = '{everybody[0].session_id}'")
        noisy.execute(
            "SELECT pg_notify(%s, encode(sha256(n::text::bytea), 'hex')) FROM generate_series(1, 50000) AS n", [channel]
        )
    await live.wait_until_refused(everybody[0])
    for who in everybody[1:]:
        await live.wait_until_cached(who)


async def test_an_unused_feed_is_closed_and_reopened_on_demand(database: Database, make_live: MakeLive) -> None:
    await migrate_live(database.dsn)
    who = database.sign_in()
    live = make_live(max_age_seconds=3600, heartbeat_seconds=0.1)
    await live.wait_until_cached(who)
    await until(lambda: listeners(database) == 1)
    await until(lambda: listeners(database) == 0)
    database.execute("DELETE FROM session")
    assert await live.user_id(who) is None
    other = database.sign_in()
    await live.wait_until_cached(other)
