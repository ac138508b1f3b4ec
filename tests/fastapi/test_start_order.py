"""The API starts before Better Auth's migration: missing tables are waited for, wrong ones end the start."""

import asyncio
import logging
import secrets
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient
from starlette.types import ASGIApp

from auth_middleware import Auth, AuthSettings, SchemaError, StoreUnavailable
from dev.cookies import SECRET, cookie, new_token, signed
from dev.environment import without_our_settings
from dev.postgres import EmbeddedPostgres
from dev.processes import ChildProcess, free_port
from tests.support.applications import guarded
from tests.support.databases import TABLES, Database, outage
from tests.support.instances import BASE_URL, DEFAULTS, MakeAuth, unreachable_dsn
from tests.support.live import migrate_live
from tests.support.polling import wait_until

Start = Callable[[ASGIApp], TestClient]
ROOT = Path(__file__).parents[2]
COLUMNS_OF_SUPABASE = """
    CREATE SCHEMA auth;
    CREATE TABLE auth.users (id uuid PRIMARY KEY, email text, created_at timestamptz, updated_at timestamptz);
    CREATE TABLE auth.sessions (id uuid PRIMARY KEY, user_id uuid, created_at timestamptz, updated_at timestamptz);
"""
USER_TABLE, SESSION_TABLE = (
    f"CREATE TABLE {statement};"
    for statement in (
        '"user" (id text, name text, email text, email_verified bool, image text, created_at timestamptz, '
        "updated_at timestamptz)",
        "session (id text, user_id text, token text, expires_at timestamptz, ip_address text, user_agent text, "
        "created_at timestamptz, updated_at timestamptz)",
    )
)


@pytest.fixture
def empty_database(postgres: EmbeddedPostgres) -> Generator[Database]:
    name = f"test_{secrets.token_hex(6)}"
    yield Database(postgres.create_database(name))
    postgres.drop_database(name)


@pytest.fixture
def waiting(make_auth: MakeAuth, empty_database: Database) -> Auth:
    # Without pages of other origins, nothing is said of CORS.
    return make_auth(database_url=empty_database.dsn, trusted_origins=())


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    ours = [record for record in caplog.records if record.name == "auth_middleware"]
    return [record.getMessage() for record in ours if record.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    "what_is_there",
    [
        "",
        USER_TABLE,
        SESSION_TABLE,
        COLUMNS_OF_SUPABASE,
        "CREATE TABLE users (id serial, login text); CREATE TABLE posts (id serial)",
    ],
    ids=["nothing", "user", "session", "auth schema", "tables of the application"],
)
def test_missing_tables_are_waited_for(
    waiting: Auth, empty_database: Database, what_is_there: str, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    if what_is_there:
        empty_database.execute(what_is_there)
    client = start(guarded(waiting))
    signed_in = cookie(new_token())
    for _ in range(3):
        for path in ("/required", "/optional"):
            response = client.get(path, headers=signed_in)
            assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert client.get("/required").status_code == 401
    assert client.get("/optional").json() is None
    [warning] = warnings(caplog)
    assert "no table" in warning
    assert "has Better Auth's migration run" in warning or "found" in warning

    empty_database.execute('DROP TABLE IF EXISTS "user", session, users;' + TABLES.read_text())
    who = empty_database.sign_in()
    wait_until(lambda: client.get("/required", headers=who.headers).status_code == 200)
    assert client.get("/required", headers=who.headers).json() == who.user_id
    assert warnings(caplog)[1:] == ["the session store responds again"]


def test_what_is_unusual_about_tables_that_come_is_reported(
    waiting: Auth, empty_database: Database, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    client = start(guarded(waiting))
    assert client.get("/required", headers=cookie(new_token())).status_code == 503
    empty_database.execute(TABLES.read_text() + 'ALTER TABLE "user" ADD banned text')
    wait_until(lambda: client.get("/required", headers=cookie(new_token())).status_code == 401)
    assert len([warning for warning in warnings(caplog) if "bans are not enforced" in warning]) == 1


@pytest.mark.parametrize("has_tables_elsewhere", [False, True])
def test_a_missing_schema_is_waited_for(
    make_auth: MakeAuth, empty_database: Database, start: Start, *, has_tables_elsewhere: bool
) -> None:
    if has_tables_elsewhere:
        empty_database.execute(TABLES.read_text() + "ALTER TABLE session RENAME TO sessions")
    client = start(guarded(make_auth(database_url=f"{empty_database.dsn}?schema=auth")))
    assert client.get("/required", headers=cookie(new_token())).status_code == 503
    empty_database.execute("CREATE SCHEMA auth; SET search_path = auth;" + TABLES.read_text())
    wait_until(lambda: client.get("/required", headers=cookie(new_token())).status_code == 401)


@pytest.mark.parametrize(
    "wrong",
    [
        "ALTER TABLE session DROP COLUMN expires_at",
        "ALTER TABLE session RENAME TO logins",
        "CREATE SCHEMA elsewhere; ALTER TABLE session SET SCHEMA elsewhere",
        'CREATE SCHEMA elsewhere; ALTER TABLE session SET SCHEMA elsewhere; ALTER TABLE "user" SET SCHEMA elsewhere',
        'ALTER TABLE "user" ALTER email_verified TYPE text',
    ],
)
def test_wrong_tables_end_the_start(auth: Auth, database: Database, wrong: str) -> None:
    database.execute(wrong)
    with pytest.raises(SchemaError), TestClient(guarded(auth)):
        pass


def test_tables_that_come_and_are_wrong_stay_503_and_are_reported(
    waiting: Auth, empty_database: Database, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    client = start(guarded(waiting))
    empty_database.execute(USER_TABLE + SESSION_TABLE.replace("expires_at timestamptz", "expires_at text"))
    wait_until(lambda: client.get("/required", headers=cookie(new_token())) and len(warnings(caplog)) == 2)
    assert client.get("/required", headers=cookie(new_token())).status_code == 503
    assert "expires_at" in warnings(caplog)[1]


async def test_strict_makes_it_an_error(waiting: Auth, make_auth: MakeAuth) -> None:
    with pytest.raises(SchemaError, match="no table session or sessions"):
        await waiting.open(strict=True)
    with pytest.raises(StoreUnavailable):
        await make_auth(database_url=unreachable_dsn()).open(strict=True)
    await make_auth().open(strict=True)


def test_strict_in_a_lifespan(waiting: Auth) -> None:
    @asynccontextmanager
    async def strict(_: FastAPI) -> AsyncGenerator[None]:
        await waiting.open(strict=True)
        yield

    with pytest.raises(SchemaError), TestClient(FastAPI(lifespan=strict)):
        pass


def test_the_database_may_be_down_first_and_empty_then(
    waiting: Auth, postgres: EmbeddedPostgres, empty_database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    with outage(postgres):
        client = TestClient(guarded(waiting))
        client.__enter__()
    try:
        assert client.get("/required", headers=cookie(new_token())).status_code == 503
        wait_until(lambda: client.get("/required", headers=cookie(new_token())) and "no table" in warnings(caplog)[-1])
        empty_database.execute(TABLES.read_text())
        wait_until(lambda: client.get("/required", headers=cookie(new_token())).status_code == 401)
    finally:
        client.__exit__(None, None, None)


async def test_live_begins_when_tables_and_triggers_are_there(
    empty_database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    auth = Auth(AuthSettings(database_url=empty_database.dsn, freshness="live", **DEFAULTS))
    await auth.open()
    try:
        for _ in range(3):
            with pytest.raises(SchemaError):
                await auth.validate_session(signed(new_token()))
            await asyncio.sleep(0.2)  # in which the feed fails too
        assert ["no table" in warning for warning in warnings(caplog)] == [True]
        empty_database.execute(TABLES.read_text())
        await migrate_live(empty_database.dsn)
        who = empty_database.sign_in()
        client = httpx.AsyncClient(transport=httpx.ASGITransport(guarded(auth)), base_url="http://api.test")
        async with client:
            await until_cached(client, auth, who.headers)
    finally:
        await auth.close()


async def until_cached(client: httpx.AsyncClient, auth: Auth, headers: dict[str, str]) -> None:
    for _ in range(600):
        await client.get("/required", headers=headers)
        if auth.counters["live_cache"]:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the live cache is not in use")


def test_a_server_starts_before_the_migration(empty_database: Database) -> None:
    port = free_port()
    settings = without_our_settings() | {
        "DATABASE_URL": empty_database.dsn,
        "BETTER_AUTH_SECRET": SECRET,
        "BETTER_AUTH_URL": BASE_URL,
    }
    command = [sys.executable, "-m", "uvicorn", f"--port={port}", "--lifespan=on", "tests.support.programs.served:app"]
    url = f"http://127.0.0.1:{port}"
    with ChildProcess("uvicorn", command, env=settings, cwd=ROOT) as process:
        process.wait_for_url(f"{url}/loop")

        def status() -> int:
            return httpx.get(f"{url}/required", headers=cookie(new_token()), trust_env=False).status_code

        assert status() == 503
        subprocess.run([sys.executable, "-m", "auth_middleware", "migrate", "tables"], env=settings, check=True)
        wait_until(lambda: status() == 401)
