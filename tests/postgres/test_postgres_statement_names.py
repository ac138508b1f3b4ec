"""Lookups use named statements where that is safe, and log whether they do and why."""

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from auth_middleware import ConfigurationError
from dev.certificates import Authority
from dev.cookies import SECRET
from dev.pgbouncer import PgBouncer
from dev.postgres import DEBIAN_15, EmbeddedPostgres, execute, fetch
from dev.postgres_proxies import Row, copying_proxy, counting_proxy, tampering_proxy
from tests.postgres.conftest import MakeAuthFor, Role
from tests.support import namespaces
from tests.support.databases import TABLES, Database

MARKER = b"auth_middleware "
DIRECT = "lookups use named statements, since connections are direct"
RENAMING = "lookups use named statements: the pooler in between renames them"
POOLER = "lookups do not use named statements, so that a single one takes longer, since there seems to be a pooler"
# Shows, in the very session that looks up, the names of its statements and how it plans them.
TELLTALE = """
ALTER TABLE "user" RENAME TO stored_user;
CREATE VIEW "user" AS
    SELECT id, (SELECT coalesce(string_agg(name, ' '), '') || '|' || current_setting('plan_cache_mode')
                FROM pg_prepared_statements WHERE NOT from_sql) AS name,
           email, email_verified, image, created_at, updated_at
    FROM stored_user
"""
ROOT = Path(__file__).parents[2]
PROGRAM = "tests.support.programs.named_statements"


class Seen:
    """The observations of an application's lookups."""

    def __init__(self, observed: str, log: str) -> None:
        names, self.plan_cache_mode = observed.split("|")
        self.names = names.split()
        self.log = log

    @property
    def notes(self) -> int:
        return self.log.count("use named statements")


class Application:
    def __init__(self, database: Database, auth_for: MakeAuthFor, caplog: pytest.LogCaptureFixture) -> None:
        self.database = database
        self._auth_for = auth_for
        self._caplog = caplog
        caplog.set_level(logging.INFO, logger="auth_middleware")
        self.who = database.sign_in()
        database.execute(TELLTALE)

    async def look_up(self, dsn: str, **settings: Any) -> Seen:
        """Makes three lookups on one connection."""
        self._caplog.clear()
        auth = self._auth_for(dsn, pool_size=1, **settings)
        await auth.open()
        names: list[str] = []
        for _ in range(3):
            identity = await auth.validate_session(self.who.cookie_value)
            assert identity
            assert identity.user.email == self.who.email
            names.append(identity.user.name)
        return Seen(names[-1], self._caplog.text)


@pytest.fixture
def application(database: Database, auth_for: MakeAuthFor, caplog: pytest.LogCaptureFixture) -> Application:
    return Application(database, auth_for, caplog)


def new_database(postgres: EmbeddedPostgres) -> Database:
    database = Database(postgres.create_database("shop"))
    database.execute(TABLES.read_text())
    return database


def use_tls(postgres: EmbeddedPostgres, directory: Path) -> None:
    certificate, key = Authority(directory / "authority").issue("server")
    settings = {
        "ssl_cert_file": postgres.place("server.crt", certificate.read_text()),
        "ssl_key_file": postgres.place("server.key", key.read_text()),
        "ssl": "on",
    }
    for name, value in settings.items():
        execute(postgres.dsn(), f"ALTER SYSTEM SET {name} = '{value}'")
    postgres.stop()
    postgres.start()


def is_direct(seen: Seen) -> bool:
    assert seen.notes == 1, seen.log
    return len(seen.names) == 1 and seen.plan_cache_mode == "force_generic_plan" and DIRECT in seen.log


def is_unnamed(seen: Seen) -> bool:
    assert seen.notes == 1, seen.log
    return not seen.names and seen.plan_cache_mode == "auto" and POOLER in seen.log


async def test_direct_connections(application: Application, postgres: EmbeddedPostgres) -> None:
    name = application.database.name
    assert is_direct(await application.look_up(application.database.dsn))
    assert is_direct(await application.look_up(postgres.socket_dsn(name)))
    with counting_proxy(application.database.dsn) as proxy:
        assert is_direct(await application.look_up(proxy.dsn))
        assert proxy.statements


@pytest.mark.needs("postgresql-15")
async def test_tls(tmp_path: Path, auth_for: MakeAuthFor, caplog: pytest.LogCaptureFixture) -> None:
    with EmbeddedPostgres(programs=DEBIAN_15) as postgres:
        use_tls(postgres, tmp_path)
        application = Application(new_database(postgres), auth_for, caplog)
        for query in ("?sslmode=require", "?sslmode=prefer", "?sslmode=disable"):
            assert is_direct(await application.look_up(application.database.dsn + query))
        with copying_proxy(application.database.dsn) as proxy:
            assert is_direct(await application.look_up(f"{proxy.dsn}?sslmode=require"))


@pytest.mark.needs("network-namespace")
def test_translated_addresses() -> None:
    with namespaces.masquerading() as inside, EmbeddedPostgres(settings={"listen_addresses": "*"}) as postgres:
        database = new_database(postgres)
        who = database.sign_in()
        database.execute(TELLTALE)
        access = postgres.socket_directory / "data" / "pg_hba.conf"
        access.write_text(f"{access.read_text()}\nhost all all all scram-sha-256\n")
        database.fetch("SELECT pg_reload_conf()")
        dsn = database.dsn.replace("127.0.0.1", inside.address)
        command = inside.command(sys.executable, "-m", PROGRAM, dsn, SECRET, who.cookie_value)
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        output = json.loads(done.stdout)
        seen = Seen(output["name"], done.stderr)
        [(port,)] = output["ports"]
        assert namespaces.FIRST_PORT <= port <= namespaces.LAST_PORT, "the address was not translated"
        assert is_direct(seen)


@pytest.mark.needs("pgbouncer")
@pytest.mark.parametrize("mode", ["transaction", "session", "statement"])
async def test_a_pooler_that_does_not_track_statements(
    application: Application, postgres: EmbeddedPostgres, mode: str
) -> None:
    name = application.database.name
    with PgBouncer(postgres, settings={"pool_mode": mode}) as pooler:
        for dsn in (pooler.dsn(name), pooler.socket_dsn(name)):
            seen = await application.look_up(dsn)
            assert is_unnamed(seen)
            assert "the connection's process id is " in seen.log
        seen = await application.look_up(f"{pooler.dsn(name)}?pgbouncer=true")
        assert not seen.names
        assert "indicates a pooler (pgbouncer=true" in seen.log
        with PgBouncer(postgres, settings={"pool_mode": mode}) as fresh:
            seen = await application.look_up(fresh.dsn(name), prepared_statements="on")
            assert len(seen.names) == 1
            assert "by AUTH_MIDDLEWARE_PREPARED_STATEMENTS=on" in seen.log


@pytest.mark.needs("pgbouncer-1.24")
async def test_a_pooler_that_tracks_statements(application: Application, postgres: EmbeddedPostgres) -> None:
    name = application.database.name
    with PgBouncer(postgres, tracks_statements=True) as pooler:
        for dsn in (pooler.dsn(name), pooler.socket_dsn(name)):
            seen = await application.look_up(dsn)
            assert seen.names
            assert all(name.startswith("PGBOUNCER_") for name in seen.names)
            assert seen.plan_cache_mode == "auto"
            assert RENAMING in seen.log
            assert seen.notes == 1
    settings = {"max_prepared_statements": "0"}
    with PgBouncer(postgres, tracks_statements=True, settings=settings) as pooler:
        assert is_unnamed(await application.look_up(pooler.dsn(name)))


async def test_a_server_that_hides_its_processes(application: Application, database: Database, role: Role) -> None:
    database.execute(f"""
        REVOKE SELECT ON pg_catalog.pg_stat_activity FROM PUBLIC;
        GRANT SELECT ON "user", session TO {role.name}
    """)
    seen = await application.look_up(role.dsn(database))
    assert not seen.names
    assert "the server does not report which of its processes responded" in seen.log


async def test_a_process_older_than_the_connection_belongs_to_a_pooler(application: Application) -> None:
    with tampering_proxy(application.database.dsn) as proxy:

        def age(row: Row) -> list[Row]:
            is_age = len(row) == 2 and row[0] is not None and row[0].isdigit()
            return [[row[0], b"3600.5"]] if is_age else [row]

        proxy.change = age
        seen = await application.look_up(proxy.dsn)
        assert is_unnamed(seen)
        assert "the server's process is older than the connection" in seen.log


async def test_one_lookup_in_another_process_ends_named_statements(
    application: Application, auth_for: MakeAuthFor, caplog: pytest.LogCaptureFixture
) -> None:
    with tampering_proxy(application.database.dsn) as proxy:
        auth = auth_for(proxy.dsn, pool_size=1)

        async def name() -> str:
            identity = await auth.validate_session(application.who.cookie_value)
            assert identity
            return identity.user.name

        await name()
        assert (await name()).startswith("s")
        assert caplog.text.count(DIRECT) == 1
        tampered: list[bytes] = []

        def another_process(row: Row) -> list[Row]:
            if row[0] is not None and row[0].startswith(MARKER) and row[1] is not None:
                tampered.append(row[1])
                row[1] = (int.from_bytes(row[1]) + 1).to_bytes(4)
            return [row]

        proxy.change = another_process
        assert (await name()).startswith("s")  # the right result, since the marker is ours
        proxy.change = lambda row: [row]
        assert tampered
        await name()
        [warning] = [record for record in caplog.records if record.levelno == logging.WARNING]
        assert "lookups do not use named statements any more" in warning.getMessage()
        assert "a server process other than" in warning.getMessage()
        # Also on a connection that is opened from now on, and is direct.
        fetch(
            application.database.dsn,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'auth_middleware' "
            "AND datname = current_database()",
        )
        assert (await name()).startswith("|")
        assert (await name()).startswith("|")


@pytest.mark.needs("pgbouncer")
async def test_timeouts_that_a_pooler_refuses_have_no_effect(
    application: Application, postgres: EmbeddedPostgres, caplog: pytest.LogCaptureFixture
) -> None:
    name = application.database.name
    query = "statement_timeout=5000&lock_timeout=2s"
    with PgBouncer(postgres) as pooler:
        seen = await application.look_up(f"{pooler.dsn(name)}?{query}")
        assert is_unnamed(seen)
        [warning] = [record for record in caplog.records if record.levelno == logging.WARNING]
        assert "a pooler rejects statement_timeout and lock_timeout of DATABASE_URL" in warning.getMessage()


async def test_timeouts_reach_the_server(
    database: Database, auth_for: MakeAuthFor, caplog: pytest.LogCaptureFixture
) -> None:
    who = database.sign_in()
    database.execute("""
        ALTER TABLE "user" RENAME TO stored_user;
        CREATE VIEW "user" AS
            SELECT id, current_setting('statement_timeout') || ' ' || current_setting('lock_timeout') || ' '
                       || current_setting('search_path') AS name,
                   email, email_verified, image, created_at, updated_at
            FROM stored_user
    """)
    query = "statement_timeout=5000&lock_timeout=2s&options=-c%20search_path%3Dpublic"
    identity = await auth_for(f"{database.dsn}?{query}").validate_session(who.cookie_value)
    assert identity
    assert identity.user.name == "5s 2s public"
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.needs("pgbouncer")
@pytest.mark.parametrize("query", ["options=-c%20search_path%3Dauth", "options=-csearch_path=auth&lock_timeout=1s"])
async def test_options_that_a_pooler_refuses_are_an_error(
    database: Database, postgres: EmbeddedPostgres, auth_for: MakeAuthFor, query: str
) -> None:
    with PgBouncer(postgres) as pooler:
        with pytest.raises(ConfigurationError) as caught:
            await auth_for(f"{pooler.dsn(database.name)}?{query}").open()
        message = str(caught.value)
        for part in ("options= in DATABASE_URL", "?schema=", "AUTH_MIDDLEWARE_SCHEMA"):
            assert part in message
