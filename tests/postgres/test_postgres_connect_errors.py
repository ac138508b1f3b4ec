"""Connection errors: the message gives the address, the server's error and the setting to change."""

import logging
from urllib.parse import urlsplit

import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient

from auth_middleware import Auth, ConfigurationError, StoreUnavailable, get_auth, get_current_user
from dev.cookies import cookie, new_token, signed
from tests.postgres.conftest import MakeAuthFor, Role
from tests.support.databases import Database
from tests.support.instances import unreachable_dsn

WRONG = "a-wrong-password"


def broken(database: Database, role: Role, fault: str) -> str:
    """A DSN that the server refuses."""
    dsn = role.dsn(database)
    match fault:
        case "password":
            return dsn.replace(role.password, WRONG)
        case "no password":
            return dsn.replace(f":{role.password}", "")
        case "role":
            return dsn.replace(role.name, "nobody")
        case "database":
            return dsn.replace(database.name, "nowhere")
        case "login":
            database.execute(f"ALTER ROLE {role.name} NOLOGIN")
        case "connect":
            database.execute(f'REVOKE ALL ON DATABASE "{database.name}" FROM PUBLIC')
        case _:
            return f"{dsn}?options=-c%20no_such_parameter%3D1"
    return dsn


FAULTS = {
    "password": ("password authentication failed for user", "Correct the user or the password in DATABASE_URL"),
    "no password": ("password missing", "add it to DATABASE_URL"),
    "role": ('authentication failed for user "nobody"', "Correct the user or the password in DATABASE_URL"),
    "database": ('database "nowhere" does not exist', "Correct the name of the database in DATABASE_URL, or create it"),
    "login": ("is not permitted to log in", "Name a role in DATABASE_URL that may log in"),
    "connect": ("permission denied for database", "GRANT CONNECT ON DATABASE"),
    "options": ("unrecognized configuration parameter", "Correct options= in DATABASE_URL"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_an_error_that_only_an_operator_can_fix_is_raised_at_start(
    database: Database, auth_for: MakeAuthFor, role: Role, fault: str
) -> None:
    dsn = broken(database, role, fault)
    with pytest.raises(ConfigurationError) as caught:
        await auth_for(dsn).open()
    message, parts = str(caught.value), urlsplit(dsn)
    for tried in (f"{parts.hostname}:{parts.port}", f'"{parts.path[1:]}"', f'"{parts.username}"'):
        assert tried in message
    for said in FAULTS[fault]:
        assert said in message
    assert message.count("password authentication failed") <= 1
    for secret in (WRONG, role.password, "db error", "creating a new object"):
        assert secret not in message


@pytest.mark.parametrize("fault", FAULTS)
def test_an_error_ends_the_lifespan_and_is_503_without_one(
    database: Database, auth_for: MakeAuthFor, role: Role, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    auth: Auth = auth_for(broken(database, role, fault))
    app = FastAPI()
    app.dependency_overrides[get_auth] = lambda: auth
    app.get("/me", dependencies=[Depends(get_current_user)])(lambda: None)
    response = TestClient(app).get("/me", headers=cookie(new_token()))
    assert response.status_code == 503
    assert response.headers["Retry-After"]
    [warning] = [record for record in caplog.records if record.getMessage().startswith("requests get 503")]
    assert warning.levelno == logging.WARNING
    for said in FAULTS[fault]:
        assert said in warning.getMessage()
    app.router.lifespan_context = auth.lifespan
    with pytest.raises(ConfigurationError), TestClient(app):
        pass


async def test_a_dropped_database_is_unavailable(database: Database, auth_for: MakeAuthFor) -> None:
    auth = auth_for(database.dsn)
    await auth.open()
    other, away = Database(database.dsn.replace(database.name, "postgres")), f"{database.name}_away"
    end = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s"
    other.fetch(end, database.name)
    other.execute(f'ALTER DATABASE "{database.name}" RENAME TO "{away}"')
    try:
        with pytest.raises(StoreUnavailable) as caught:
            await auth.validate_session(signed(new_token()))
        assert f'database "{database.name}" does not exist' in str(caught.value.__cause__)
    finally:
        other.execute(f'ALTER DATABASE "{away}" RENAME TO "{database.name}"')
    assert await auth.validate_session(signed(new_token())) is None


async def test_the_error_of_a_stopped_server_has_its_address(
    auth_for: MakeAuthFor, caplog: pytest.LogCaptureFixture
) -> None:
    dsn = unreachable_dsn()
    await auth_for(dsn).open()
    assert f'database "app" at 127.0.0.1:{urlsplit(dsn).port} as role "app": Connection refused' in caplog.text
    assert "host, port and sslmode in DATABASE_URL" in caplog.text
    assert "unused" not in caplog.text


async def test_the_error_of_a_missing_socket_has_its_path(
    auth_for: MakeAuthFor, caplog: pytest.LogCaptureFixture
) -> None:
    await auth_for("postgresql://app@/app?host=/nowhere").open()
    assert 'database "app" at /nowhere/.s.PGSQL.5432 as role "app": No such file or directory' in caplog.text


async def test_the_listeners_connection_error_has_its_own_setting(
    database: Database, auth_for: MakeAuthFor, role: Role, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = role.dsn(database).replace(role.password, WRONG)
    await auth_for(database.dsn, freshness="live", listen_database_url=wrong).open()
    assert "password authentication failed" in caplog.text
    assert "Correct the user or the password in AUTH_MIDDLEWARE_LISTEN_DATABASE_URL" in caplog.text
    assert WRONG not in caplog.text
