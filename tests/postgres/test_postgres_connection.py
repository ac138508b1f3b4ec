"""Socket options, and the treatment of connections that timed out or failed."""

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
    """Duplicates of this process's sockets that are connected to the port."""
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


async def test_a_connection_that_timed_out_is_not_used_again(database: Database, auth_for: MakeAuthFor) -> None:
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
        # The statement is cancelled at the server. Otherwise it would use a connection until the lock is released.
        await until(lambda: database.fetch(server, int(first.user.name)) == [(0,)])
    after = await auth.validate_session(who.cookie_value)
    assert after
    assert after.user.name != first.user.name


# In the seconds that this test takes.
MOST_PROBES = 10


class Hanging:
    """Accepts connections and closes them at once."""

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


async def test_a_lookup_is_retried_once(auth_for: MakeAuthFor, database: Database) -> None:
    everybody = [database.sign_in() for _ in range(20)]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        hanging = Hanging(listener)
        auth = auth_for(f"postgresql://app:unused@127.0.0.1:{listener.getsockname()[1]}/app", pool_size=1)
        with pytest.raises(StoreUnavailable):
            await auth.validate_session(everybody[0].cookie_value)
        # Probes connect too, to find out whether the store is down.
        assert 2 <= hanging.calls <= 2 + MOST_PROBES
        lookups = (auth.validate_session(who.cookie_value) for who in everybody)
        found = await asyncio.gather(*lookups, return_exceptions=True)
        assert all(isinstance(each, StoreUnavailable) for each in found)
        # The number of batches may vary, but each batch connects twice at most.
        assert hanging.calls <= 2 * (1 + len(everybody)) + MOST_PROBES
        listener.shutdown(socket.SHUT_RDWR)


async def test_after_a_connection_error_older_idle_connections_are_not_used(
    database: Database, auth_for: MakeAuthFor
) -> None:
    everybody = [database.sign_in() for _ in range(5)]
    database.execute(NAMED_BY_BACKEND)
    auth = auth_for(database.dsn, pool_size=5, lookup_timeout_seconds=30)
    tasks: list[asyncio.Task[None]] = []
    servers: set[str] = set()

    async def look_up(cookie_value: str) -> None:
        identity = await auth.validate_session(cookie_value)
        assert identity
        servers.add(identity.user.name)

    with database.locked() as blocked:  # one after the other, so that each needs a connection of its own
        for who in everybody:
            tasks.append(asyncio.create_task(look_up(who.cookie_value)))
            await until(lambda: blocked() == len(tasks))
    await asyncio.gather(*tasks)
    assert len(servers) == 5
    before = set(servers)
    with database.locked() as blocked:
        under_way = asyncio.create_task(look_up(everybody[0].cookie_value))
        await until(lambda: blocked() == 1)
        waiting = "SELECT pid FROM pg_locks WHERE NOT granted AND relation = 'session'::regclass"
        database.fetch(f"SELECT pg_terminate_backend(({waiting}))")
        await until(lambda: blocked() == 1)
        idle = "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(%s)"
        await until(lambda: database.fetch(idle, [int(each) for each in before]) == [(0,)])
    await under_way
    assert len(servers - before) == 1
