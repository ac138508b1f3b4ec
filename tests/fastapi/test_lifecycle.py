"""Errors at startup, at the first request and while running. Each can be fixed without a restart."""

import logging
from collections.abc import Callable

import pytest
from fastapi import FastAPI
from starlette.requests import HTTPConnection
from starlette.testclient import TestClient
from starlette.types import ASGIApp

from auth_middleware import Auth, ConfigurationError, SchemaError, get_auth, get_optional_user, lifespan
from dev.cookies import SECRET, cookie, new_token
from dev.postgres import EmbeddedPostgres
from tests.support.applications import CurrentUser, OptionalUser, guarded
from tests.support.databases import Database, outage
from tests.support.instances import BASE_URL, unreachable_dsn
from tests.support.polling import wait_until

Start = Callable[[ASGIApp], TestClient]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    ours = [record for record in caplog.records if record.name == "auth_middleware"]
    return [record.getMessage() for record in ours if record.levelno >= logging.WARNING]


def documented_application() -> FastAPI:
    app = FastAPI(lifespan=lifespan)

    @app.get("/required")
    async def required(user: CurrentUser) -> str:
        return user.id

    @app.get("/optional")
    async def optional(user: OptionalUser) -> str | None:
        return user.id if user else None

    return app


@pytest.mark.parametrize("missing", ["DATABASE_URL", "BETTER_AUTH_SECRET", "BETTER_AUTH_URL"])
def test_a_missing_setting_stops_the_start_and_is_reported(environment: pytest.MonkeyPatch, missing: str) -> None:
    settings = {"DATABASE_URL": unreachable_dsn(), "BETTER_AUTH_SECRET": SECRET, "BETTER_AUTH_URL": BASE_URL}
    for name, value in settings.items():
        if name != missing:
            environment.setenv(name, value)
    with pytest.raises(ConfigurationError, match=missing), TestClient(documented_application()):
        pass


def test_wrong_tables_stop_the_start(auth: Auth, database: Database) -> None:
    database.execute("ALTER TABLE session DROP COLUMN expires_at")
    with pytest.raises(SchemaError, match="expires_at"), TestClient(guarded(auth)):
        pass


def test_a_store_that_is_down_does_not_stop_the_start(
    auth: Auth, postgres: EmbeddedPostgres, database: Database, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    who = database.sign_in()
    with outage(postgres):
        client = start(guarded(auth))
        assert len(warnings(caplog)) == 1
        for _ in range(3):
            assert client.get("/required", headers=who.headers).status_code == 503
            assert client.get("/optional", headers=who.headers).status_code == 503
        assert client.get("/required").status_code == 401
        assert len(warnings(caplog)) == 1
    wait_until(lambda: client.get("/required", headers=who.headers).status_code == 200)
    assert client.get("/required", headers=who.headers).json() == who.user_id
    assert warnings(caplog)[1:] == ["the session store responds again"]


def test_sessions_stay_valid_when_the_store_restarts(
    auth: Auth, postgres: EmbeddedPostgres, database: Database
) -> None:
    who = database.sign_in()
    with TestClient(guarded(auth)) as client:
        assert client.get("/required", headers=who.headers).json() == who.user_id
        with outage(postgres):
            pass
        assert client.get("/required", headers=who.headers).json() == who.user_id


def test_without_a_lifespan_a_missing_setting_is_500_and_one_critical_line(
    environment: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    environment.setenv("DATABASE_URL", unreachable_dsn())
    environment.setenv("BETTER_AUTH_SECRET", SECRET)
    environment.setenv("BETTER_AUTH_URL", "no URL at all")
    client = TestClient(documented_application())
    for _ in range(3):
        for headers in ({}, cookie(new_token())):
            for path in ("/required", "/optional"):
                response = client.get(path, headers=headers)
                assert (response.status_code, response.json()) == (500, {"detail": "Authentication is not configured"})
    critical = [record for record in caplog.records if record.levelno == logging.CRITICAL]
    assert [record.name for record in critical] == ["auth_middleware"]
    assert "BETTER_AUTH_URL" in critical[0].getMessage()


async def test_a_missing_setting_is_an_error_and_not_anonymous(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("DATABASE_URL", unreachable_dsn())
    with pytest.raises(ConfigurationError):
        await get_optional_user(HTTPConnection({"type": "http", "method": "GET", "headers": []}))
    with pytest.raises(ConfigurationError):
        get_auth()


def test_tables_that_become_invalid_while_running_are_503_until_they_are_fixed(
    auth: Auth, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    who = database.sign_in()
    with TestClient(guarded(auth)) as client:
        assert client.get("/required", headers=who.headers).json() == who.user_id
        database.execute("ALTER TABLE session RENAME TO session_of_yesterday")
        for path in ("/required", "/optional"):
            response = client.get(path, headers=who.headers)
            assert (response.status_code, response.headers["retry-after"]) == (503, "1")
        assert len(warnings(caplog)) == 1
        assert "session" in warnings(caplog)[0]
        database.execute("ALTER TABLE session_of_yesterday RENAME TO session")
        wait_until(lambda: client.get("/required", headers=who.headers).status_code == 200)
        assert warnings(caplog)[1:] == ["the session store responds again"]


def test_a_migration_while_running_is_noticed(auth: Auth, database: Database) -> None:
    who = database.sign_in()
    with TestClient(guarded(auth)) as client:
        assert client.get("/required", headers=who.headers).json() == who.user_id
        database.execute('ALTER TABLE session RENAME COLUMN expires_at TO "expiresAt"')
        database.execute("ALTER TABLE session ADD COLUMN added TEXT")
        assert client.get("/required", headers=who.headers).json() == who.user_id
