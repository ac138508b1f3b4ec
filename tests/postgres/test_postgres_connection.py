"""Our own socket, and what becomes of a connection that was given up or that failed."""

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Generator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from auth_middleware import StoreUnavailable
from tests.postgres.conftest import MakeAuthFor
from tests.support.databases import Database
from tests.support.polling import until
from tests.support.tables import NAMED_BY_BACKEND


def sockets_to(port: int) -> Generator[socket.socket]:
    """Copies of this process's sockets to that port."""
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            if not entry.readlink().name.startswith("socket:"):
                continue
            copy = socket.socket(fileno=os.dup(int(entry.name)))
            with copy:
                if copy.family == socket.AF_INET and copy.getpeername()[1] == port:
                    yield copy


async def test_a_peer_that_vanishes_is_noticed(database: Database, auth_for: MakeAuthFor) -> None:
    await auth_for(database.dsn, pool_size=1).open()
    [ours] = [
        [each.getsockopt(level, option) for level, option in OPTIONS]
        for each in sockets_to(urlsplit(database.dsn).port or 0)
    ]
    no_delay, keeps_alive, idle_seconds, interval_seconds, user_timeout_milliseconds = ours
    assert (bool(no_delay), bool(keeps_alive)) == (True, True)
    assert (idle_seconds, interval_seconds, user_timeout_milliseconds) == (30, 10, 30_000)


OPTIONS = (
    (socket.IPPROTO_TCP, socket.TCP_NODELAY),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
)


async def test_a_connection_whose_answer_did_not_come_in_time_is_not_asked_again(
    database: Database, auth_for: MakeAuthFor
) -> None:
    who = database.sign_in()
    database.execute(NAMED_BY_BACKEND)
    auth = auth_for(database.dsn, pool_size=1, lookup_timeout_seconds=0.5)
    first = await auth.validate_session(who.cookie_value)
    again = await auth.validate_session(who.cookie_value)
    with database.locked():
        with pytest.raises(StoreUnavailable):
            await auth.validate_session(who.cookie_value)
        server = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s"
        assert first
        assert again
        assert first.user.name == again.user.name
        # The server is told so: it does not go on, and hold a place, as long as the lock lets it.
        await until(lambda: database.fetch(server, int(first.user.name)) == [(0,)])
    after = await auth.validate_session(who.cookie_value)
    assert after
    assert after.user.name != first.user.name


class Hanging:
    """Listens, and hangs up on everybody."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self.calls = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                caller, _ = self._listener.accept()
                self.calls += 1
                caller.close()


async def test_a_look_up_is_tried_once_more_and_then_no_more(auth_for: MakeAuthFor, database: Database) -> None:
    everybody = [database.sign_in() for _ in range(20)]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        hanging = Hanging(listener)
        auth = auth_for(f"postgresql://app:unused@127.0.0.1:{listener.getsockname()[1]}/app", pool_size=1)
        with pytest.raises(StoreUnavailable):
            await auth.validate_session(everybody[0].cookie_value)
        assert hanging.calls == 2
        asked = (auth.validate_session(who.cookie_value) for who in everybody)
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(each, StoreUnavailable) for each in found)
        # However the workers divide them into batches, each batch connects twice.
        batches, rest = divmod(hanging.calls - 2, 2)
        assert rest == 0
        assert 1 <= batches <= len(everybody)
        listener.shutdown(socket.SHUT_RDWR)


async def test_after_a_connection_error_no_idle_connection_of_before_is_tried(
    database: Database, auth_for: MakeAuthFor
) -> None:
    everybody = [database.sign_in() for _ in range(5)]
    database.execute(NAMED_BY_BACKEND)
    auth = auth_for(database.dsn, pool_size=5, lookup_timeout_seconds=30)
    asked: list[asyncio.Task[None]] = []
    servers: set[str] = set()

    async def ask(cookie_value: str) -> None:
        identity = await auth.validate_session(cookie_value)
        assert identity
        servers.add(identity.user.name)

    with database.locked() as blocked:  # one after the other, so that each needs a connection of its own
        for who in everybody:
            asked.append(asyncio.create_task(ask(who.cookie_value)))
            await until(lambda: blocked() == len(asked))
    await asyncio.gather(*asked)
    assert len(servers) == 5
    before = set(servers)
    with database.locked() as blocked:
        under_way = asyncio.create_task(ask(everybody[0].cookie_value))
        await until(lambda: blocked() == 1)
        waiting = "SELECT pid FROM pg_locks WHERE NOT granted AND relation = 'session'::regclass"
        database.fetch(f"SELECT pg_terminate_backend(({waiting}))")
        await until(lambda: blocked() == 1)
        idle = "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(%s)"
        await until(lambda: database.fetch(idle, [int(each) for each in before]) == [(0,)])
    await under_way
    assert len(servers - before) == 1
