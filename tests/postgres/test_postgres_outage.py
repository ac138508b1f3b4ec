"""A failing store is unavailable, never "no session", and is used again as soon as it works."""

import asyncio
import socket
from collections.abc import Callable, Generator

import pytest

from auth_middleware import Auth, Identity, StoreUnavailable
from dev.postgres import EmbeddedPostgres, execute
from tests.postgres.conftest import MakeAuthFor, Role
from tests.support.databases import TABLES, Database, SignedIn
from tests.support.polling import first_result, until

POOLED = "application_name = 'auth_middleware' AND datname = current_database()"


@pytest.fixture(scope="module")
def outage_cluster() -> Generator[EmbeddedPostgres]:
    """A separate cluster that tests may stop, because other tests need the shared one."""
    with EmbeddedPostgres() as postgres:
        execute(postgres.dsn(), TABLES.read_text())
        yield postgres


@pytest.fixture
def cluster(outage_cluster: EmbeddedPostgres) -> Generator[EmbeddedPostgres]:
    yield outage_cluster
    outage_cluster.stop()
    outage_cluster.start()


async def asked_until(auth: Auth, who: SignedIn, end: asyncio.Event) -> list[str]:
    """The outcomes of many requests, one after another."""
    ends: list[str] = []
    while not end.is_set():
        try:
            identity = await auth.validate_session(who.cookie_value)
            ends.append("identified" if identity else "nobody")
        except StoreUnavailable:
            ends.append("unavailable")
        await asyncio.sleep(0.001)
    return ends


async def test_a_stopped_server_is_unavailable_and_a_restarted_one_is_used_again(
    cluster: EmbeddedPostgres, auth_for: MakeAuthFor
) -> None:
    who = Database(cluster.dsn()).sign_in()
    auth = auth_for(cluster.dsn())
    assert await auth.validate_session(who.cookie_value)
    await asyncio.to_thread(cluster.stop)
    with pytest.raises(StoreUnavailable) as caught:
        await auth.validate_session(who.cookie_value)
    assert "refused" in str(caught.value.__cause__)
    await asyncio.to_thread(cluster.start)
    assert await first_result(auth, who.cookie_value)


async def test_no_request_during_a_restart_is_anonymous(cluster: EmbeddedPostgres, auth_for: MakeAuthFor) -> None:
    who = Database(cluster.dsn()).sign_in()
    auth = auth_for(cluster.dsn())
    end = asyncio.Event()
    asking = [asyncio.create_task(asked_until(auth, who, end)) for _ in range(8)]
    for _ in range(3):
        await asyncio.to_thread(cluster.stop)
        await asyncio.to_thread(cluster.start)
    assert await first_result(auth, who.cookie_value)
    end.set()
    ends = [each for ended in await asyncio.gather(*asking) for each in ended]
    assert set(ends) == {"identified", "unavailable"}


async def test_a_server_that_is_down_at_start_is_used_once_it_is_up(
    cluster: EmbeddedPostgres, auth_for: MakeAuthFor
) -> None:
    who = Database(cluster.dsn()).sign_in()
    await asyncio.to_thread(cluster.stop)
    auth = auth_for(cluster.dsn())
    await auth.open()
    with pytest.raises(StoreUnavailable):
        await auth.validate_session(who.cookie_value)
    await asyncio.to_thread(cluster.start)
    assert await first_result(auth, who.cookie_value)


async def test_terminated_connections_are_replaced_without_a_failed_request(
    database: Database, auth_for: MakeAuthFor
) -> None:
    everybody = [database.sign_in() for _ in range(6)]
    auth = auth_for(database.dsn, pool_size=6)
    tasks: list[asyncio.Task[Identity | None]] = []
    with database.locked() as blocked:  # one after the other, so that each needs a connection of its own
        for who in everybody:
            tasks.append(asyncio.create_task(auth.validate_session(who.cookie_value)))
            await until(lambda: blocked() == len(tasks))
    assert all(await asyncio.gather(*tasks))
    assert database.fetch(f"SELECT count(*) FROM pg_stat_activity WHERE {POOLED}") > [(1,)]
    for _ in range(2):
        database.fetch(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {POOLED}")
        found = await asyncio.gather(*(auth.validate_session(who.cookie_value) for who in everybody))
        assert [identity and identity.user.id for identity in found] == [who.user_id for who in everybody]


async def test_a_lookup_whose_connection_ends_is_sent_again(database: Database, auth_for: MakeAuthFor) -> None:
    who = database.sign_in()
    auth = auth_for(database.dsn, lookup_timeout_seconds=30)
    await auth.open()
    waiting = "SELECT pid FROM pg_locks WHERE NOT granted AND relation = 'session'::regclass"
    with database.locked() as blocked:
        lookup = asyncio.create_task(auth.validate_session(who.cookie_value))
        await until(lambda: blocked() == 1)
        [(first,)] = database.fetch(waiting)
        database.fetch("SELECT pg_terminate_backend(%s)", first)
        await until(lambda: database.fetch(waiting) not in ([], [(first,)]) or lookup.done())
    identity = await lookup
    assert identity
    assert identity.user.id == who.user_id


async def test_connections_terminated_during_lookups_are_replaced(database: Database, auth_for: MakeAuthFor) -> None:
    who = database.sign_in()
    auth = auth_for(database.dsn, pool_size=4)
    end = asyncio.Event()
    asking = [asyncio.create_task(asked_until(auth, who, end)) for _ in range(16)]
    for _ in range(10):
        await asyncio.to_thread(
            database.fetch, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {POOLED}"
        )
        await asyncio.sleep(0.01)
    end.set()
    ends = [each for ended in await asyncio.gather(*asking) for each in ended]
    assert "nobody" not in ends
    assert await first_result(auth, who.cookie_value)


async def test_a_server_without_a_free_connection_is_unavailable_until_it_has_one(
    database: Database, auth_for: MakeAuthFor, make_role: Callable[..., Role]
) -> None:
    who = database.sign_in()
    role = make_role("CONNECTION LIMIT 0")
    database.execute(f'GRANT SELECT ON "user", session TO {role.name}')
    auth = auth_for(role.dsn(database))
    await auth.open()
    with pytest.raises(StoreUnavailable) as caught:
        await auth.validate_session(who.cookie_value)
    assert "too many connections" in str(caught.value.__cause__)
    database.execute(f"ALTER ROLE {role.name} CONNECTION LIMIT -1")
    assert isinstance(await auth.validate_session(who.cookie_value), Identity)


async def test_a_silent_server_is_unavailable(
    database: Database, auth_for: MakeAuthFor, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        dsn = f"postgresql://app:unused@127.0.0.1:{silent.getsockname()[1]}/app"
        auth = auth_for(dsn, lookup_timeout_seconds=0.2)
        await auth.open()  # does not fail: the server may recover
        assert f"127.0.0.1:{silent.getsockname()[1]}" in caplog.text
        with pytest.raises(StoreUnavailable) as caught:
            await auth.validate_session(database.sign_in().cookie_value)
        assert "no answer within 0.2 s" in str(caught.value.__cause__)
