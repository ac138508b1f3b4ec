"""Lookups that wait for a lock time out, do not pile up, and are not shared with later requests."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager

import psycopg
import pytest

from auth_middleware import Identity, StoreUnavailable
from tests.postgres.conftest import MakeAuthFor
from tests.support.databases import Database
from tests.support.polling import first_result, until

# A query of this view waits for the gate after it has taken its snapshot.
GATED = """
ALTER TABLE session RENAME TO stored_session;
CREATE VIEW session AS
    SELECT id, user_id, token, expires_at, user_agent, created_at, updated_at,
           CASE WHEN pg_advisory_xact_lock_shared(1) IS NULL THEN NULL ELSE ip_address END AS ip_address
    FROM stored_session
"""
WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'"
CONNECTIONS = """
SELECT count(*) FROM pg_stat_activity WHERE application_name = 'auth_middleware' AND datname = current_database()
"""


@contextmanager
def closed_gate(database: Database) -> Generator[None]:
    with psycopg.connect(database.dsn) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(1)")
        yield


def count(database: Database, query: str) -> int:
    [(number,)] = database.fetch(query)  # pyright: ignore[reportArgumentType]
    return int(number)


async def test_a_lookup_that_waits_for_a_lock_times_out_and_works_after_it(
    database: Database, auth_for: MakeAuthFor
) -> None:
    everybody = [database.sign_in() for _ in range(5)]
    auth = auth_for(database.dsn, lookup_timeout_seconds=0.2)
    await auth.open()
    with database.locked():
        lookups = (auth.validate_session(who.cookie_value) for who in everybody)
        found = await asyncio.gather(*lookups, return_exceptions=True)
        assert [type(each).__mro__[1] for each in found] == [StoreUnavailable] * 5
        causes = [str(each.__cause__) for each in found if isinstance(each, StoreUnavailable)]
        assert all("no answer within 0.2 s (lookup_timeout_seconds)" in cause for cause in causes)
    found = await asyncio.gather(*(auth.validate_session(who.cookie_value) for who in everybody))
    assert [identity and identity.user.id for identity in found] == [who.user_id for who in everybody]


async def test_a_long_lock_does_not_pile_up_connections(database: Database, auth_for: MakeAuthFor) -> None:
    who = database.sign_in()
    auth = auth_for(database.dsn, lookup_timeout_seconds=0.1, pool_size=2)
    await auth.open()
    with database.locked() as blocked:
        for _ in range(8):
            with pytest.raises(StoreUnavailable):
                await auth.validate_session(who.cookie_value)
        await until(lambda: count(database, CONNECTIONS) <= 2)
        assert blocked() <= 2
    assert await first_result(auth, who.cookie_value)
    assert count(database, CONNECTIONS) <= 2


async def test_lookups_beyond_max_waiting_fail_at_once_and_the_others_succeed(
    database: Database, auth_for: MakeAuthFor
) -> None:
    everybody = [database.sign_in() for _ in range(12)]
    auth = auth_for(database.dsn, max_waiting=7, lookup_timeout_seconds=30)
    await auth.open()
    with database.locked():
        lookups = [asyncio.create_task(auth.validate_session(who.cookie_value)) for who in everybody]
        await until(lambda: sum(each.done() for each in lookups) == 5)
        for each in filter(asyncio.Task[Identity | None].done, lookups):
            with pytest.raises(StoreUnavailable) as caught:
                each.result()
            assert "7 requests wait already (max_waiting)" in str(caught.value.__cause__)
    found = await asyncio.gather(*lookups, return_exceptions=True)
    assert sum(isinstance(each, StoreUnavailable) for each in found) == 5
    for each, who in zip(found, everybody, strict=True):
        assert isinstance(each, StoreUnavailable) or (isinstance(each, Identity) and each.user.id == who.user_id)
    assert await auth.validate_session(everybody[0].cookie_value)


@pytest.mark.parametrize("pool_size", [1, 2])
async def test_a_lookup_sent_before_a_sign_out_is_not_shared_with_later_requests(
    database: Database, auth_for: MakeAuthFor, pool_size: int
) -> None:
    who = database.sign_in()
    database.execute(GATED)
    auth = auth_for(database.dsn, pool_size=pool_size, lookup_timeout_seconds=30)
    with closed_gate(database):
        before = asyncio.create_task(auth.validate_session(who.cookie_value))
        await until(lambda: count(database, WAITING) == 1)
        database.execute("DELETE FROM stored_session")
        after = asyncio.create_task(auth.validate_session(who.cookie_value))
        await asyncio.sleep(0.1)
        assert not before.done()
    identity = await before  # it was sent while the session existed
    assert identity
    assert identity.user.id == who.user_id
    assert await after is None


async def test_waiting_requests_for_one_session_share_one_lookup(database: Database, auth_for: MakeAuthFor) -> None:
    first, second = database.sign_in(), database.sign_in()
    database.execute(GATED)
    auth = auth_for(database.dsn, pool_size=1, lookup_timeout_seconds=30)
    with closed_gate(database):
        begun = asyncio.create_task(auth.validate_session(first.cookie_value))
        await until(lambda: count(database, WAITING) == 1)
        lookups = [asyncio.create_task(auth.validate_session(second.cookie_value)) for _ in range(50)]
    assert await begun
    assert {identity and identity.user.id for identity in await asyncio.gather(*lookups)} == {second.user_id}
