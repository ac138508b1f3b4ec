"""Guarded connections while PostgreSQL does not answer, and while the feed of changes is interrupted."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import Any

import pytest
from starlette.types import Message
from starlette.websockets import WebSocket

from auth_middleware import Auth, WebSocketGuard
from dev.cookies import COOKIE_NAME
from dev.postgres import EmbeddedPostgres
from dev.postgres_proxies import counting_proxy
from tests.support.databases import Database, SignedIn, outage
from tests.support.instances import MakeAuth
from tests.support.live import AGELESS, QUICK, migrate_live
from tests.support.polling import TIMEOUT_SECONDS, until

SESSION_ENDED = (4001, "session ended")
UNCHECKED = (4002, "session could not be checked")
NEVER: dict[str, Any] = {"recheck_seconds": 3600}


class Connection:
    """A guarded socket whose body waits, without a server."""

    def __init__(self, auth: Auth[Any, Any], who: SignedIn) -> None:
        self.sent: list[Message] = []
        cookie = f"{COOKIE_NAME}={who.cookie_value}".encode()
        scope = {"type": "websocket", "headers": [(b"cookie", cookie), (b"origin", b"http://page.test")]}
        self.websocket = WebSocket(scope, self._receive, self._send)
        self.task = asyncio.create_task(self._run(auth))

    async def opened(self) -> None:
        await until(lambda: bool(self.sent) or self.task.done())
        if self.task.done():
            await self.task

    async def closed(self) -> tuple[int, str]:
        await asyncio.wait_for(self.task, TIMEOUT_SECONDS)
        assert self.sent[-1]["type"] == "websocket.close"
        return self.sent[-1]["code"], self.sent[-1]["reason"]

    def is_open(self) -> bool:
        return not self.task.done()

    async def _run(self, auth: Auth[Any, Any]) -> None:
        async with auth.guard_websocket(self.websocket):
            await asyncio.Event().wait()

    async def _receive(self) -> Message:
        return {"type": "websocket.connect"}

    async def _send(self, message: Message) -> None:
        self.sent.append(message)


Open = Callable[..., Any]


@pytest.fixture
async def connect() -> AsyncGenerator[Open]:
    connections: list[Connection] = []

    async def open_one(auth: Auth[Any, Any], who: SignedIn) -> Connection:
        connection = Connection(auth, who)
        connections.append(connection)
        await connection.opened()
        return connection

    yield open_one
    for connection in connections:
        connection.task.cancel()
        with suppress(asyncio.CancelledError):
            await connection.task


async def test_an_outage_closes_nothing_before_the_grace_and_4002_after_it(
    postgres: EmbeddedPostgres, database: Database, make_auth: MakeAuth, connect: Open
) -> None:
    patient = make_auth(recheck_seconds=0.1, outage_grace_seconds=3600)
    hasty = make_auth(recheck_seconds=0.1, outage_grace_seconds=0.5)
    who, gone = database.sign_in(), database.sign_in()
    stays, ends = await connect(patient, who), await connect(hasty, who)
    revoked = await connect(patient, gone)
    with outage(postgres):
        assert await ends.closed() == UNCHECKED
        assert stays.is_open()
        assert revoked.is_open()
    database.execute(f"DELETE FROM session WHERE id = '{gone.session_id}'")
    assert await revoked.closed() == SESSION_ENDED
    assert stays.is_open()
    await connect(hasty, who)


async def test_a_session_that_expires_in_an_outage_ends(
    postgres: EmbeddedPostgres, database: Database, make_auth: MakeAuth, connect: Open
) -> None:
    auth = make_auth(**NEVER, outage_grace_seconds=3600)
    [(soon,)] = database.fetch("SELECT now() + interval '4 seconds'")
    ends = await connect(auth, database.sign_in(expires_at=soon))
    stays = await connect(auth, database.sign_in())
    with outage(postgres):
        assert await ends.closed() == SESSION_ENDED
        assert stays.is_open()


async def test_a_restart_of_the_database_closes_nothing_and_sign_outs_meanwhile_are_noticed(
    postgres: EmbeddedPostgres, database: Database, make_auth: MakeAuth, connect: Open
) -> None:
    await migrate_live(database.dsn)
    auth = make_auth(freshness="live", **QUICK, recheck_seconds=1, lookup_timeout_seconds=2)
    stays = [await connect(auth, database.sign_in()) for _ in range(5)]
    gone = [database.sign_in() for _ in range(5)]
    ends = [await connect(auth, who) for who in gone]
    with outage(postgres):
        pass
    # Most probably before anything listens again.
    for who in gone:
        database.execute(f"DELETE FROM session WHERE id = '{who.session_id}'")
    assert [await connection.closed() for connection in ends] == [SESSION_ENDED] * 5
    assert all(connection.is_open() for connection in stays)


async def test_with_a_feed_that_hears_nothing_sessions_are_rechecked(
    database: Database, make_auth: MakeAuth, connect: Open
) -> None:
    await migrate_live(database.dsn)
    who, other = database.sign_in(), database.sign_in()
    with counting_proxy(database.dsn) as proxy:
        auth = make_auth(freshness="live", listen_database_url=proxy.dsn, **QUICK, recheck_seconds=0.5)
        ends, stays = await connect(auth, who), await connect(auth, other)
        with proxy.frozen():
            database.execute(f"DELETE FROM session WHERE id = '{who.session_id}'")
            assert await ends.closed() == SESSION_ENDED
        assert stays.is_open()


async def test_a_purge_of_many_rows_ends_all_of_them(database: Database, make_auth: MakeAuth, connect: Open) -> None:
    await migrate_live(database.dsn)
    auth = make_auth(freshness="live", **AGELESS, **NEVER)
    stays = await connect(auth, database.sign_in())
    [[kept]] = database.fetch("SELECT id FROM session")
    ends = [await connect(auth, database.sign_in()) for _ in range(150)]
    database.execute(f"DELETE FROM session WHERE id <> '{kept}'")
    assert {await connection.closed() for connection in ends} == {SESSION_ENDED}
    assert stays.is_open()


async def test_a_sign_out_between_the_lookup_and_the_guard_is_noticed(
    database: Database, make_auth: MakeAuth, connect: Open
) -> None:
    """Nothing would notify of it again, and no re-check comes for an hour."""
    await migrate_live(database.dsn)
    auth = make_auth(freshness="live", **AGELESS, **NEVER)
    # The feed is alive.
    warm = await connect(auth, database.sign_in())
    database.execute("DELETE FROM session")
    assert await warm.closed() == SESSION_ENDED
    who = database.sign_in()
    connection = Connection(auth, who)

    accepting, accepted = asyncio.Event(), asyncio.Event()

    async def slow_accept(message: Message) -> None:
        connection.sent.append(message)
        if message["type"] == "websocket.accept":
            accepting.set()
            await accepted.wait()

    connection.websocket._send = slow_accept  # pyright: ignore[reportPrivateUsage]
    await asyncio.wait_for(accepting.wait(), TIMEOUT_SECONDS)
    database.execute("DELETE FROM session")
    await until(lambda: auth.cache_size.sessions == 0)
    accepted.set()
    assert await connection.closed() == SESSION_ENDED


async def test_open_guards_keep_the_feed_in_use(database: Database, make_auth: MakeAuth, connect: Open) -> None:
    """Without them it is given up after 36 heartbeats, here 1.2 s."""
    await migrate_live(database.dsn)
    auth = make_auth(freshness="live", max_age_seconds=3600, heartbeat_seconds=0.1, **NEVER)
    connection = await connect(auth, database.sign_in())

    def listeners() -> int:
        [(count,)] = database.fetch(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND application_name = 'auth_middleware listener'"
        )
        return int(count)

    await until(lambda: listeners() == 1)
    await asyncio.sleep(2)
    # On a slow machine a heartbeat may come late, and the feed begins anew.
    await until(lambda: listeners() == 1)
    connection.task.cancel()
    await until(lambda: listeners() == 0)


@pytest.mark.parametrize("is_before", [True, False])
async def test_a_body_that_is_cancelled_by_somebody_else_too_is_cancelled(
    database: Database, make_auth: MakeAuth, connect: Open, monkeypatch: pytest.MonkeyPatch, *, is_before: bool
) -> None:
    auth = make_auth(**NEVER)
    who = database.sign_in()
    connection = await connect(auth, who)
    end = WebSocketGuard.end

    def cancel_twice(guard: WebSocketGuard[Any, Any], code: int, reason: str, cause: str) -> None:
        """Both before the task runs again."""
        if is_before:
            connection.task.cancel()
        end(guard, code, reason, cause)
        if not is_before:
            connection.task.cancel()

    monkeypatch.setattr(WebSocketGuard, "end", cancel_twice)
    assert auth.disconnect(user_id=who.user_id) == 1
    with pytest.raises(asyncio.CancelledError):
        await connection.task
    assert connection.task.cancelled()


async def test_a_server_that_cancels_while_the_socket_is_being_closed(
    database: Database, make_auth: MakeAuth, connect: Open
) -> None:
    auth = make_auth(**NEVER)
    who = database.sign_in()
    connection = await connect(auth, who)

    async def full(message: Message) -> None:
        connection.sent.append(message)
        await asyncio.Event().wait()

    connection.websocket._send = full  # pyright: ignore[reportPrivateUsage]
    auth.disconnect(user_id=who.user_id)
    await until(lambda: len(connection.sent) == 2)
    connection.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connection.task


async def test_a_timeout_around_the_block_still_counts(database: Database, make_auth: MakeAuth) -> None:
    auth = make_auth(**NEVER)
    who = database.sign_in()
    inner = Connection(auth, who)
    inner.task.cancel()
    steps: list[str] = []

    async def run() -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(3600) as timeout:
                async with auth.guard_websocket(inner.websocket):
                    steps.append("in")
                    await asyncio.Event().wait()
                steps.append("after")
                timeout.reschedule(0)
                await asyncio.Event().wait()
        steps.append("timed out")
        task = asyncio.current_task()
        assert task is not None
        steps.append(str(task.cancelling()))

    task = asyncio.create_task(run())
    await until(lambda: steps == ["in"])
    auth.disconnect(user_id=who.user_id)
    await asyncio.wait_for(task, TIMEOUT_SECONDS)
    assert steps == ["in", "after", "timed out", "0"]


async def test_a_client_that_does_not_read_is_dropped(
    database: Database, make_auth: MakeAuth, connect: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auth_middleware.session_guards.CLOSE_SECONDS", 0.2)
    auth = make_auth(**NEVER)
    who = database.sign_in()
    connection = await connect(auth, who)

    async def full(message: Message) -> None:
        connection.sent.append(message)
        await asyncio.Event().wait()

    connection.websocket._send = full  # pyright: ignore[reportPrivateUsage]
    auth.disconnect(user_id=who.user_id)
    assert await connection.closed() == SESSION_ENDED


async def test_closing_the_instance_closes_what_it_can_no_longer_check(
    database: Database, make_auth: MakeAuth, connect: Open
) -> None:
    auth = make_auth(**NEVER)
    connection = await connect(auth, database.sign_in())
    await auth.close()
    assert await connection.closed() == UNCHECKED
    again = await connect(auth, database.sign_in())
    assert again.is_open()
