"""Faults under load: no wrong identity, no valid session refused, 503 in time, and recovery without a restart."""

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Self

import psycopg
import pytest

from auth_middleware import Auth, AuthError
from dev.cookies import SECRET, new_token, signed
from dev.postgres import EmbeddedPostgres, execute, fetch
from dev.soak.address import Address
from dev.soak.faults import postgres_processes
from dev.standbys import Standby
from tests.postgres.conftest import MakeAuthFor
from tests.support import namespaces
from tests.support.clocks import libfaketime
from tests.support.databases import TABLES, Database, SignedIn
from tests.support.polling import until

PEOPLE = 12
CLIENTS = 24
# What a request may take at most: the lookup's deadline, and what a busy machine adds.
LOOKUP_SECONDS = 2.0
REQUEST_SECONDS = 20.0


class Load:
    """Clients that send one request after another, for people who are signed in, signed out, or never were."""

    def __init__(self, auth: Auth, database: Database) -> None:
        self.auth = auth
        self.people = [database.sign_in() for _ in range(PEOPLE)]
        self.outcomes: Counter[str] = Counter()
        self.successes = 0
        self._strangers = [signed(new_token()) for _ in range(PEOPLE)]

    async def client(self) -> None:
        chance = random.Random(0)  # noqa: S311 - not secret
        while True:
            if chance.random() < 0.2:
                await self._stranger(chance.choice(self._strangers))
            else:
                await self._person(chance.choice(self.people))
            await asyncio.sleep(0.002)

    async def _person(self, person: SignedIn) -> None:
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                identity = await self.auth.validate_session(person.cookie_value)
        except AuthError:
            self.outcomes["unavailable"] += 1
            return
        assert identity, "a valid session was refused"
        assert identity.user.id == person.user_id, "another user"
        self.outcomes["identified"] += 1
        self.successes += 1

    async def _stranger(self, value: str) -> None:
        with suppress(AuthError):
            async with asyncio.timeout(REQUEST_SECONDS):
                assert await self.auth.validate_session(value) is None, "a session that never was"

    async def works(self) -> None:
        """Waits until every person is identified, without a restart."""
        begin = self.successes
        await until(lambda: self.successes > begin + 5 * PEOPLE)


@asynccontextmanager
async def load(auth: Auth, database: Database) -> AsyncGenerator[Load]:
    """Clients that run meanwhile; what one of them finds wrong fails the test."""
    people = Load(auth, database)
    clients = [asyncio.create_task(people.client()) for _ in range(CLIENTS)]
    try:
        await people.works()
        yield people
        await people.works()
        for done in clients:
            if done.done():
                done.result()
    finally:
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)


@pytest.fixture(scope="module")
def own_cluster() -> Generator[EmbeddedPostgres]:
    """A cluster that tests may freeze and replace."""
    with EmbeddedPostgres() as postgres:
        execute(postgres.dsn(), TABLES.read_text())
        yield postgres


def changes_of_state(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage().partition(":")[0]
        for record in caplog.records
        if record.levelname == "WARNING" and ("503 responses from now on" in record.msg or "again" in record.msg)
    ]


def one_change_there_and_back(caplog: pytest.LogCaptureFixture) -> None:
    """Every failure that was logged has its end in the log, and nothing is logged twice in a row."""
    changes = changes_of_state(caplog)
    assert changes
    assert all("again" in line for line in changes[1::2]), changes
    assert not any("again" in line for line in changes[::2]), changes
    assert len(changes) % 2 == 0, changes


async def test_a_frozen_server(
    own_cluster: EmbeddedPostgres, auth_for: MakeAuthFor, caplog: pytest.LogCaptureFixture
) -> None:
    auth = auth_for(own_cluster.dsn(), lookup_timeout_seconds=LOOKUP_SECONDS)
    async with load(auth, Database(own_cluster.dsn())) as people:
        frozen = postgres_processes(own_cluster.socket_directory / "data")
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        try:
            await until(lambda: people.outcomes["unavailable"] > CLIENTS)
        finally:
            for pid in frozen:
                os.kill(pid, signal.SIGCONT)
    one_change_there_and_back(caplog)


async def test_a_server_that_becomes_read_only(database: Database, auth_for: MakeAuthFor) -> None:
    auth = auth_for(database.dsn)
    async with load(auth, database) as people:
        database.execute(f"ALTER DATABASE {database.name} SET default_transaction_read_only = on")
        terminate(database)
        await people.works()
    assert not database.fetch("SELECT 1 WHERE current_setting('default_transaction_read_only') = 'off'")


async def test_a_statement_timeout_of_the_role(
    database: Database, auth_for: MakeAuthFor, caplog: pytest.LogCaptureFixture
) -> None:
    auth = auth_for(database.dsn, lookup_timeout_seconds=LOOKUP_SECONDS)
    async with load(auth, database) as people:
        database.execute(f"ALTER DATABASE {database.name} SET statement_timeout = '50ms'")
        terminate(database)
        await people.works()
        # Statements wait for the lock longer than the timeout allows.
        with psycopg.connect(database.dsn) as connection:
            connection.execute("SET statement_timeout = 0")
            connection.execute('LOCK TABLE "user" IN ACCESS EXCLUSIVE MODE')
            await until(lambda: people.outcomes["unavailable"] > CLIENTS)
    one_change_there_and_back(caplog)


@pytest.mark.parametrize(
    ("break_it", "fix_it"),
    [
        ("ALTER TABLE session RENAME TO session_moved", "ALTER TABLE session_moved RENAME TO session"),
        ('ALTER TABLE "user" RENAME TO user_moved', 'ALTER TABLE user_moved RENAME TO "user"'),
        ("ALTER TABLE session RENAME COLUMN token TO t", "ALTER TABLE session RENAME COLUMN t TO token"),
        (
            "ALTER TABLE session ALTER COLUMN expires_at TYPE text",
            "ALTER TABLE session ALTER COLUMN expires_at TYPE timestamptz USING expires_at::timestamptz",
        ),
        (
            'ALTER TABLE "user" ADD COLUMN kept text; UPDATE "user" SET kept = email; '
            'ALTER TABLE "user" DROP COLUMN email',
            'ALTER TABLE "user" ADD COLUMN email text; UPDATE "user" SET email = kept',
        ),
    ],
    ids=["session table renamed", "user table renamed", "column renamed", "column type changed", "column dropped"],
)
async def test_tables_that_change_and_change_back(
    database: Database, auth_for: MakeAuthFor, caplog: pytest.LogCaptureFixture, break_it: str, fix_it: str
) -> None:
    auth = auth_for(database.dsn)
    async with load(auth, database) as people:
        await asyncio.to_thread(database.execute, break_it)
        await until(lambda: people.outcomes["unavailable"] > CLIENTS)
        await asyncio.to_thread(database.execute, fix_it)
    one_change_there_and_back(caplog)


async def test_a_column_whose_type_changes_to_another_valid_one(database: Database, auth_for: MakeAuthFor) -> None:
    auth = auth_for(database.dsn)
    async with load(auth, database) as people:
        for kind in ("varchar(255)", "text"):
            await asyncio.to_thread(database.execute, f"ALTER TABLE session ALTER COLUMN token TYPE {kind}")
            await people.works()


async def test_a_standby_that_takes_over_behind_one_address(auth_for: MakeAuthFor) -> None:
    with EmbeddedPostgres() as primary:
        execute(primary.dsn(), TABLES.read_text())
        with Standby(primary) as standby:
            async with Address(primary.port) as address:
                auth = auth_for(through(address, primary), lookup_timeout_seconds=LOOKUP_SECONDS)
                async with load(auth, Database(primary.dsn())) as people:
                    await asyncio.to_thread(standby.catch_up)
                    await asyncio.to_thread(primary.stop)  # fenced: it cannot answer any more
                    await asyncio.to_thread(standby.promote)
                    address.target = standby.port
                    address.cut()
                    await people.works()
                    ended = people.people.pop()
                    fetch(standby.dsn(), "DELETE FROM session WHERE token = %s RETURNING 1", ended.token)
                    assert await auth.validate_session(ended.cookie_value) is None
                await auth.close()


async def test_a_line_that_is_cut_in_the_middle_of_results(
    own_cluster: EmbeddedPostgres, auth_for: MakeAuthFor
) -> None:
    async with Address(own_cluster.port) as address:
        auth = auth_for(through(address, own_cluster), lookup_timeout_seconds=LOOKUP_SECONDS)
        async with load(auth, Database(own_cluster.dsn())) as people:
            for _ in range(10):
                address.cut()
                await people.works()


async def test_a_line_that_carries_nothing_for_a_while(
    own_cluster: EmbeddedPostgres, auth_for: MakeAuthFor, caplog: pytest.LogCaptureFixture
) -> None:
    async with Address(own_cluster.port) as address:
        auth = auth_for(through(address, own_cluster), lookup_timeout_seconds=LOOKUP_SECONDS)
        async with load(auth, Database(own_cluster.dsn())) as people:
            address.freeze()
            await until(lambda: people.outcomes["unavailable"] > CLIENTS)
            address.thaw()
            await people.works()
    one_change_there_and_back(caplog)


async def test_a_slow_line_delays_and_does_not_refuse(own_cluster: EmbeddedPostgres, auth_for: MakeAuthFor) -> None:
    async with Address(own_cluster.port) as address:
        auth = auth_for(through(address, own_cluster))
        async with load(auth, Database(own_cluster.dsn())) as people:
            address.delay_seconds = 0.1
            await people.works()
            address.delay_seconds = 0.0
            assert not people.outcomes["unavailable"]


@pytest.mark.needs("mount-namespace")
def test_a_host_name_that_moves_to_another_address(own_cluster: EmbeddedPostgres, tmp_path: Path) -> None:
    who = Database(own_cluster.dsn()).sign_in()
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 database.test\n")
    dsn = own_cluster.dsn().replace("127.0.0.1", "database.test")
    command = [sys.executable, "-m", "tests.support.programs.outcomes", dsn, SECRET, who.cookie_value]
    with LineReader(namespaces.with_hosts(hosts, *command)) as program:
        program.read_until("identified")
        hosts.write_text("127.0.0.9 database.test\n")  # where nothing listens
        others = "pid <> pg_backend_pid() AND application_name = 'auth_middleware'"
        execute(own_cluster.dsn(), f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")
        program.read_until("unavailable")
        hosts.write_text("127.0.0.1 database.test\n")
        program.read_until("identified")
        assert "nobody" not in program.lines


@pytest.mark.needs("libfaketime")
@pytest.mark.parametrize("freshness", ["always", "30"])
def test_a_clock_that_jumps_forwards_and_back(own_cluster: EmbeddedPostgres, tmp_path: Path, freshness: str) -> None:
    who = Database(own_cluster.dsn()).sign_in()  # for an hour
    offset = tmp_path / "offset"
    offset.write_text("+0")
    # The library reads the file whenever the clock is read. Timers use the monotonic clock, which stays as it is.
    clock = {"FAKETIME_TIMESTAMP_FILE": str(offset), "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    environment = {**os.environ, **clock, "LD_PRELOAD": str(libfaketime())}
    command = [sys.executable, "-m", "tests.support.programs.outcomes", own_cluster.dsn(), SECRET, who.cookie_value]
    with LineReader([*command, freshness], environment) as program:
        program.read_until("identified")
        for jump in ("+50m", "-50m", "+0"):
            offset.write_text(jump)
            read_before = len(program.lines)
            for _ in range(20):
                program.read_until("identified")
            assert set(program.lines[read_before:]) == {"identified"}
        # The session has ended by this clock, and has not by the next.
        offset.write_text("+70m")
        program.read_until("nobody")
        offset.write_text("+0")
        program.read_until("identified")


class LineReader:
    """A program's output, line by line."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self.lines: list[str] = []
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.kill()
        self._process.communicate()

    def read_until(self, wanted: str) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self.lines.append(line.strip())
            if self.lines[-1] == wanted:
                return
        raise AssertionError(f"it ended without {wanted!r}: {self.lines[-5:]}")


def through(address: Address, postgres: EmbeddedPostgres) -> str:
    return postgres.dsn().replace(f":{postgres.port}/", f":{address.port}/")


def terminate(database: Database) -> None:
    """Ends the connections of the instance, so that new ones have the changed settings."""
    others = "datname = current_database() AND pid <> pg_backend_pid()"
    database.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")
