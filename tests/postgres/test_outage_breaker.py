"""While the store is down, requests are refused at once, and it is used again soon after it is back."""

import asyncio
import os
import signal
import socket
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress

import pytest
from starlette.requests import HTTPConnection

from auth_middleware import Auth, Identity, StoreUnavailable
from dev.cookies import COOKIE_NAME
from dev.postgres import EmbeddedPostgres, execute
from dev.postgres_proxies import counting_proxy
from tests.postgres.conftest import MakeAuthFor
from tests.support.databases import TABLES, Database, SignedIn
from tests.support.polling import TIMEOUT_SECONDS, first_result, until

DOWN = "it is down, so nothing is sent to it until it responds again"


@pytest.fixture(scope="module")
def outage_cluster() -> Generator[EmbeddedPostgres]:
    """A separate cluster that tests may stop and freeze."""
    with EmbeddedPostgres() as postgres:
        execute(postgres.dsn(), TABLES.read_text())
        yield postgres


@pytest.fixture
def cluster(outage_cluster: EmbeddedPostgres) -> Generator[EmbeddedPostgres]:
    yield outage_cluster
    outage_cluster.stop()
    outage_cluster.start()


@contextmanager
def frozen(cluster: EmbeddedPostgres) -> Generator[None]:
    """Every process of the server is stopped: it accepts connections, in the kernel, and answers nothing."""
    processes = [pid for (pid,) in Database(cluster.dsn()).fetch("SELECT pid FROM pg_stat_activity")]
    postmaster = int((cluster.socket_directory / "data" / "postmaster.pid").read_text().split()[0])
    signalled = [postmaster, *processes]
    for pid in signalled:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in signalled:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


async def why_not(auth: Auth, who: SignedIn) -> str:
    """Why there is no answer for a good session: never that there is no session."""
    with pytest.raises(StoreUnavailable) as caught:
        assert await auth.validate_session(who.cookie_value), "a good session is never None"
    return str(caught.value.__cause__ or caught.value)


async def wait_until_down(auth: Auth, who: SignedIn) -> None:
    """Sends requests until one is refused because the store is down."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while DOWN not in await why_not(auth, who):
        assert time.monotonic() < deadline, "the store was not found to be down"
        await asyncio.sleep(0.01)


async def refused_at_once(auth: Auth, who: SignedIn, requests: int = 256) -> None:
    """None of these requests is sent, and each is counted."""
    before = auth.counters["store_unavailable"]
    reasons = await asyncio.gather(*(why_not(auth, who) for _ in range(requests)))
    assert all(DOWN in reason for reason in reasons), set(reasons)
    assert auth.counters["store_unavailable"] == before + requests


async def test_a_stopped_server(cluster: EmbeddedPostgres, auth_for: MakeAuthFor) -> None:
    who = Database(cluster.dsn()).sign_in()
    auth = auth_for(cluster.dsn())
    assert await auth.validate_session(who.cookie_value)
    for _ in range(2):
        await asyncio.to_thread(cluster.stop)
        await wait_until_down(auth, who)
        await refused_at_once(auth, who)
        assert "refused" in await why_not(auth, who)
        await asyncio.to_thread(cluster.start)
        assert await first_result(auth, who.cookie_value)


async def test_a_frozen_server(cluster: EmbeddedPostgres, auth_for: MakeAuthFor) -> None:
    who = Database(cluster.dsn()).sign_in()
    auth = auth_for(cluster.dsn(), lookup_timeout_seconds=1)
    assert await auth.validate_session(who.cookie_value)
    with frozen(cluster):
        await wait_until_down(auth, who)
        await refused_at_once(auth, who)
    assert await first_result(auth, who.cookie_value)


async def test_a_connection_that_carries_nothing_any_more(database: Database, auth_for: MakeAuthFor) -> None:
    who = database.sign_in()
    with counting_proxy(database.dsn) as proxy:
        auth = auth_for(proxy.dsn, lookup_timeout_seconds=0.5)
        assert await auth.validate_session(who.cookie_value)
        with proxy.frozen():
            await wait_until_down(auth, who)
            statements = proxy.statements
            await refused_at_once(auth, who)
            # Nothing but probes.
            assert not any("token" in text for text in proxy.texts[statements:])
        assert await first_result(auth, who.cookie_value)


async def test_a_listener_that_accepts_and_says_nothing(database: Database, auth_for: MakeAuthFor) -> None:
    who = database.sign_in()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        auth = auth_for(f"postgresql://app:unused@127.0.0.1:{silent.getsockname()[1]}/app", lookup_timeout_seconds=0.3)
        await wait_until_down(auth, who)
        await refused_at_once(auth, who)


async def test_a_port_at_which_nobody_listens_from_the_start(database: Database, auth_for: MakeAuthFor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    auth = auth_for(f"postgresql://app:unused@127.0.0.1:{port}/app")
    await auth.open()
    who = database.sign_in()
    await wait_until_down(auth, who)
    await refused_at_once(auth, who)


async def test_a_silent_address_that_leads_to_the_server_later(database: Database, auth_for: MakeAuthFor) -> None:
    """Connections that were accepted before stay silent for good, as those of a proxy that lost its server."""
    who = database.sign_in()
    forwards = threading.Event()
    with counting_proxy(database.dsn) as proxy, relay(proxy.dsn, forwards) as port:
        dsn = proxy.dsn.rpartition(":")[0] + f":{port}/" + proxy.dsn.rpartition("/")[2]
        auth = auth_for(dsn, lookup_timeout_seconds=0.5)
        await wait_until_down(auth, who)
        forwards.set()
        assert await first_result(auth, who.cookie_value)


@contextmanager
def relay(dsn: str, forwards: threading.Event) -> Generator[int]:
    """A port whose connections are accepted and left alone, or, once it forwards, connected to the DSN's server."""
    port = int(dsn.rpartition(":")[2].partition("/")[0])
    listener = socket.create_server(("127.0.0.1", 0))
    sockets: list[socket.socket] = [listener]

    def copy(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                sockets.append(client)
                if not forwards.is_set():
                    continue
                server = socket.create_connection(("127.0.0.1", port))
                sockets.append(server)
                threading.Thread(target=copy, args=(client, server), daemon=True).start()
                threading.Thread(target=copy, args=(server, client), daemon=True).start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield listener.getsockname()[1]
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        accepting.join()
        for each in sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


async def test_a_lock_on_a_table_is_no_outage(database: Database, auth_for: MakeAuthFor) -> None:
    who = database.sign_in()
    auth = auth_for(database.dsn, lookup_timeout_seconds=0.2)
    assert await auth.validate_session(who.cookie_value)
    with database.locked():
        for _ in range(10):
            assert "no answer within 0.2 s" in await why_not(auth, who)
    assert await first_result(auth, who.cookie_value)


async def test_a_row_that_fails_its_statement_is_no_outage(database: Database, auth_for: MakeAuthFor) -> None:
    who, other = database.sign_in(), database.sign_in()
    database.execute(f"""
        CREATE FUNCTION fail(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS
            $$ BEGIN PERFORM pg_sleep(30); RETURN $1; END $$;
        ALTER TABLE "user" RENAME TO people;
        CREATE VIEW "user" AS SELECT id, CASE id WHEN '{who.user_id}' THEN fail(name) ELSE name END AS name, email,
            email_verified, image, created_at, updated_at FROM people;
    """)
    auth = auth_for(database.dsn, lookup_timeout_seconds=0.3)
    for _ in range(5):
        assert "no answer within 0.3 s" in await why_not(auth, who)
        # On a machine under load, a lookup can take longer than that.
        assert await first_result(auth, other.cookie_value)


async def test_a_server_without_a_free_connection_is_no_outage(
    cluster: EmbeddedPostgres, auth_for: MakeAuthFor
) -> None:
    database = Database(cluster.dsn())
    who = database.sign_in()
    database.execute("""
        DROP ROLE IF EXISTS limited; CREATE ROLE limited LOGIN PASSWORD 'x' CONNECTION LIMIT 0 SUPERUSER;
        ALTER ROLE limited NOSUPERUSER; GRANT SELECT ON "user", session TO limited
    """)
    auth = auth_for(f"postgresql://limited:x@127.0.0.1:{cluster.port}/postgres")
    for _ in range(5):
        assert "too many connections" in await why_not(auth, who)
    database.execute("ALTER ROLE limited CONNECTION LIMIT -1")
    assert isinstance(await auth.validate_session(who.cookie_value), Identity)
    await auth.close()
    await until(lambda: database.fetch("SELECT 1 FROM pg_stat_activity WHERE usename = 'limited'") == [])
    database.execute('REVOKE ALL ON "user", session FROM limited; DROP ROLE limited')


async def test_a_first_connection_that_takes_long_is_no_outage(database: Database, auth_for: MakeAuthFor) -> None:
    """As at a database that has gone to sleep: the connection is accepted, and answered later."""
    who = database.sign_in()
    with counting_proxy(database.dsn) as proxy:
        auth = auth_for(proxy.dsn, lookup_timeout_seconds=30)
        with proxy.frozen():
            requests = [asyncio.create_task(auth.validate_session(who.cookie_value)) for _ in range(100)]
            await asyncio.sleep(2)
            assert not any(request.done() for request in requests)
        assert all(await asyncio.gather(*requests))
        assert auth.counters["store_unavailable"] == 0


async def test_a_first_connection_that_takes_longer_than_a_lookup_may_take(
    database: Database, auth_for: MakeAuthFor
) -> None:
    """Requests are refused meanwhile, but one probe waits long enough to find the database awake."""
    who = database.sign_in()
    with counting_proxy(database.dsn) as proxy:
        auth = auth_for(proxy.dsn, lookup_timeout_seconds=0.3)
        with proxy.frozen():
            await why_not(auth, who)
            await asyncio.sleep(3)
        assert await first_result(auth, who.cookie_value)


async def test_get_fresh_user_is_refused_as_well(cluster: EmbeddedPostgres, auth_for: MakeAuthFor) -> None:
    who = Database(cluster.dsn()).sign_in()
    auth = auth_for(cluster.dsn())
    headers = [(b"cookie", f"{COOKIE_NAME}={who.cookie_value}".encode())]
    request = HTTPConnection({"type": "http", "method": "GET", "headers": headers})
    assert (await auth.fresh_user(request)).id == who.user_id
    await asyncio.to_thread(cluster.stop)
    await wait_until_down(auth, who)
    with pytest.raises(StoreUnavailable) as caught:
        await auth.fresh_user(request)
    assert DOWN in str(caught.value.__cause__)
    await asyncio.to_thread(cluster.start)
    assert await first_result(auth, who.cookie_value)
    assert (await auth.fresh_user(request)).id == who.user_id


async def test_an_outage_is_one_warning_at_its_start_and_one_at_its_end(
    cluster: EmbeddedPostgres, auth_for: MakeAuthFor, caplog: pytest.LogCaptureFixture
) -> None:
    who = Database(cluster.dsn()).sign_in()
    auth = auth_for(cluster.dsn())
    await asyncio.to_thread(cluster.stop)
    await wait_until_down(auth, who)
    await refused_at_once(auth, who)
    await asyncio.to_thread(cluster.start)
    assert await first_result(auth, who.cookie_value)
    start, end = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert start.startswith("requests get 503 responses from now on: ")
    assert end == "the session store responds again"
