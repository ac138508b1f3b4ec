"""A role that can only connect can fill the queue of notifications, and send heartbeats of its own: neither keeps a
session alive that was ended."""

import threading
from collections.abc import Generator
from contextlib import closing, contextmanager

import psycopg
import pytest

from dev.postgres import EmbeddedPostgres
from dev.postgres_proxies import counting_proxy
from tests.support.databases import TABLES, Database
from tests.support.live import QUICK, MakeLive, migrate_live
from tests.support.notifications import EVERYTHING, Listener, token_item

PEOPLE = """
    INSERT INTO "user" (id, name, email) SELECT 'u' || n, 'Ada', 'ada' || n FROM generate_series(1, 9) AS n;
    INSERT INTO session (id, user_id, token, expires_at) SELECT 's' || n, 'u' || n, 't' || n, now() + interval '1 hour'
    FROM generate_series(1, 9) AS n;
"""


@pytest.fixture(scope="module")
def small_queue() -> Generator[EmbeddedPostgres]:
    with EmbeddedPostgres(settings={"max_notify_queue_pages": "64"}) as postgres:
        yield postgres


@pytest.fixture
def database(small_queue: EmbeddedPostgres) -> Generator[Database]:
    database = Database(small_queue.create_database("suppressed"))
    database.execute(TABLES.read_text() + PEOPLE)
    yield database
    small_queue.drop_database("suppressed")


@contextmanager
def nearly_full_queue(database: Database) -> Generator[None]:
    """In here, triggers suppress; afterwards the queue is empty again. It takes no right but to connect."""
    with (
        closing(psycopg.connect(database.dsn)) as stuck,
        closing(psycopg.connect(database.dsn, autocommit=True)) as flood,
    ):
        stuck.execute("LISTEN flood")
        stuck.commit()
        stuck.execute("SELECT 1")  # in a transaction nothing is read from the queue
        number = 0
        while flood.execute("SELECT pg_notification_queue_usage() < 0.85").fetchone() == (True,):
            flood.execute("SELECT pg_notify('flood', repeat('x', 7000) || %s)", (str(number),))
            number += 1
        yield
        stuck.rollback()
        stuck.execute("SELECT 1")
        stuck.rollback()


@pytest.fixture
def watched(database: Database) -> Generator[Listener]:
    with closing(Listener(database)) as watched:
        yield watched


def traces(watched: Listener) -> list[int]:
    query = f"SELECT transaction_id FROM {watched.channel}_suppressed ORDER BY 1"
    with closing(psycopg.connect(watched.database.dsn, autocommit=True)) as connection:
        return [int(number) for (number,) in connection.execute(query.encode())]


async def test_a_sign_out_whose_notification_was_suppressed_between_two_heartbeats_is_noticed_by_the_next(
    database: Database, make_live: MakeLive
) -> None:
    await migrate_live(database.dsn)
    who = database.sign_in()
    # Seconds between two heartbeats: all of the attack takes place between them.
    live = make_live(max_age_seconds=3600, heartbeat_seconds=9)
    await live.wait_until_cached(who)
    with nearly_full_queue(database):
        database.execute(f"DELETE FROM session WHERE id = '{who.session_id}'")
    assert database.fetch("SELECT pg_notification_queue_usage() < 0.5") == [(True,)]
    await live.wait_until_refused(who)


CHANGES = {
    "delete": "DELETE FROM session WHERE id = 's1'",
    "update": """UPDATE "user" SET name = 'Eve' WHERE id = 'u1'""",
    "truncate": "TRUNCATE session",
    "two in one transaction": "BEGIN; DELETE FROM session WHERE id = 's1'; DELETE FROM session WHERE id = 's2'; COMMIT",
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("isolation", ["read committed", "repeatable read", "serializable"])
def test_a_suppressed_notification_leaves_a_trace(watched: Listener, change: str, isolation: str) -> None:
    with nearly_full_queue(watched.database):
        watched.database.execute(f"SET default_transaction_isolation = '{isolation}'; {CHANGES[change]}")
    assert traces(watched)
    assert watched.received() == []


def test_without_suppression_there_is_no_trace(watched: Listener) -> None:
    watched.database.execute(CHANGES["delete"])
    assert watched.received() == [token_item("t1")]
    assert traces(watched) == []


NO_CHANGES = {
    "no rows": "DELETE FROM session WHERE id = 'unknown'",
    "rolled back": "BEGIN; DELETE FROM session WHERE id = 's1'; ROLLBACK",
    "rolled back in part": "BEGIN; SAVEPOINT a; DELETE FROM session WHERE id = 's1'; ROLLBACK TO a; COMMIT",
    "insert": "INSERT INTO session (id, user_id, token, expires_at) VALUES ('s', 'u1', 'new', now())",
}


@pytest.mark.parametrize("change", NO_CHANGES)
def test_what_changes_nothing_leaves_no_trace(watched: Listener, change: str) -> None:
    with nearly_full_queue(watched.database):
        watched.database.execute(NO_CHANGES[change])
    assert traces(watched) == []


def test_a_trace_becomes_visible_together_with_its_change(watched: Listener) -> None:
    with nearly_full_queue(watched.database), closing(psycopg.connect(watched.database.dsn)) as writer:
        writer.execute("DELETE FROM session WHERE id = 's1'")
        assert traces(watched) == []
        writer.commit()
        assert len(traces(watched)) == 1


def test_traces_stay_few_and_each_commit_leaves_another(watched: Listener) -> None:
    seen: list[list[int]] = []
    with nearly_full_queue(watched.database):
        for number in range(1, 10):
            watched.database.execute(f"DELETE FROM session WHERE id = 's{number}'")
            seen.append(traces(watched))
    assert [len(each) for each in seen] == [1] * 9
    assert len({tuple(each) for each in seen}) == 9


def test_writers_do_not_wait_for_each_others_traces(watched: Listener) -> None:
    with (
        nearly_full_queue(watched.database),
        closing(psycopg.connect(watched.database.dsn)) as first,
        closing(psycopg.connect(watched.database.dsn)) as second,
    ):
        watched.database.execute("DELETE FROM session WHERE id = 's9'")
        for writer, session in ((first, "s1"), (second, "s2"), (first, "s3"), (second, "s4")):
            writer.execute("SET LOCAL lock_timeout = '2s'")
            writer.execute(f"DELETE FROM session WHERE id = '{session}'".encode())
        before = traces(watched)
        first.commit()
        between = traces(watched)
        second.commit()
        assert len({tuple(before), tuple(between), tuple(traces(watched))}) == 3


def test_a_trigger_that_may_not_read_the_queue_leaves_a_trace(watched: Listener) -> None:
    watched.database.execute("ALTER FUNCTION pg_catalog.pg_notification_queue_usage() RENAME TO pg_hidden")
    try:
        watched.database.execute(CHANGES["delete"])
        assert traces(watched)
    finally:
        watched.database.execute("ALTER FUNCTION pg_catalog.pg_hidden() RENAME TO pg_notification_queue_usage")
    assert watched.notified(CHANGES["truncate"]) == [EVERYTHING]


def heartbeat_channel(database: Database) -> str:
    """As a role with pg_monitor sees it."""
    [(query,)] = database.fetch(
        "SELECT query FROM pg_stat_activity WHERE datname = current_database() AND query LIKE %s", "LISTEN%"
    )
    return str(query).rpartition('"')[0].rpartition('"')[2]


# The highest number, and a text that sorts after every nonce.
FORGED = ["18446744073709551615", "g" * 32]


@contextmanager
def forger(database: Database, channel: str, payload: str) -> Generator[None]:
    """Sends forged heartbeats continuously, in a thread of its own."""
    is_over = threading.Event()

    def forge() -> None:
        with closing(psycopg.connect(database.dsn, autocommit=True)) as connection:
            while not is_over.is_set():
                connection.execute("SELECT pg_notify(%s, %s)", (channel, payload))
                # Faster, it would fill the queue while the listener is frozen: then heartbeats fail in any case.
                is_over.wait(0.005)

    thread = threading.Thread(target=forge)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


@pytest.mark.parametrize("payload", FORGED)
async def test_forged_heartbeats_neither_renew_the_feed_nor_disturb_it(
    database: Database, make_live: MakeLive, payload: str
) -> None:
    await migrate_live(database.dsn)
    who, other = database.sign_in(), database.sign_in()
    with counting_proxy(database.dsn) as proxy:
        live = make_live(listen_database_url=proxy.dsn, **QUICK)
        await live.wait_until_cached(who)
        channel = heartbeat_channel(database)
        assert channel.startswith("auth_middleware_beat_")
        with forger(database, channel, payload):
            await live.wait_until_cached(other)
            database.execute(f"DELETE FROM session WHERE id = '{other.session_id}'")
            await live.wait_until_evicted(other)
            await live.wait_until_cached(who)
            # The last thing that is received before this is most probably a forged heartbeat.
            with proxy.frozen():
                database.execute("DELETE FROM session")
                await live.wait_until_refused(who)


async def test_a_heartbeat_that_is_sent_again_renews_nothing(database: Database, make_live: MakeLive) -> None:
    await migrate_live(database.dsn)
    who = database.sign_in()
    with (
        counting_proxy(database.dsn) as proxy,
        closing(psycopg.connect(database.dsn, autocommit=True)) as spy,
    ):
        live = make_live(listen_database_url=proxy.dsn, **QUICK)
        await live.wait_until_cached(who)
        channel = heartbeat_channel(database)
        spy.execute(f'LISTEN "{channel}"'.encode())
        nonces = [notification.payload for notification in spy.notifies(timeout=30, stop_after=3)]
        assert len(set(nonces)) == 3, "no heartbeat repeats the nonce of another"
        assert all(len(nonce) == 32 for nonce in nonces)
        for nonce in nonces:
            spy.execute("SELECT pg_notify(%s, %s)", (channel, nonce))
        await live.wait_until_cached(who)
        with proxy.frozen():
            database.execute("DELETE FROM session")
            await live.wait_until_refused(who)
