"""No secret, token or password is logged, printed or raised, or part of a model's repr or dump."""

import logging
import secrets
import traceback
from collections.abc import Callable, Generator
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError
from starlette.testclient import TestClient

from auth_middleware import Auth, AuthError, AuthSession, AuthSettings, AuthUser, ConfigurationError, get_auth
from dev.cookies import SECRET, SECURE_COOKIE_NAME, cookie, signed
from tests.support.applications import guarded, send_in_process
from tests.support.databases import Database
from tests.support.instances import BASE_URL, MakeAuth, unreachable_dsn

PASSWORD = secrets.token_hex(16)
TOKEN = secrets.token_hex(16)
SIGNATURE = signed(TOKEN).partition(".")[2]


@pytest.fixture
def output(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Generator[Callable[[], str]]:
    """Everything that any logger logged at any level, and that Python or Rust printed."""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "auth_middleware")

    def everything() -> str:
        printed = capfd.readouterr()
        structured = "\n".join(str(record.__dict__) for record in caplog.records)
        return caplog.text + structured + printed.out + printed.err

    yield everything
    assert SECRET not in everything()


def logged_text(error: BaseException) -> str:
    """The text of an error in a log with a traceback, including its causes."""
    return f"{error} {error!r} {error.args} {''.join(traceback.format_exception(error))}"


def test_no_request_reveals_a_credential(make_auth: MakeAuth, database: Database, output: Callable[[], str]) -> None:
    who = database.sign_in()
    expired = database.sign_in(expires_at="2020-01-01T00:00:00Z")
    wrong_password = database.dsn.replace(database.dsn.split(":")[2].partition("@")[0], PASSWORD)
    forged = who.headers["Cookie"][:-8] + "AAAAA%3D"
    requests = [
        who.headers,
        expired.headers,
        {"Cookie": forged},
        {"Cookie": f"{SECURE_COOKIE_NAME}={who.cookie_value}"},
        who.headers | {"Origin": "https://evil.example"},
    ]
    text = ""
    for dsn in (database.dsn, wrong_password, unreachable_dsn()):
        client = TestClient(guarded(make_auth(database_url=dsn)))
        # A wrong password is an error at start, so this one starts without a lifespan.
        with client if dsn != wrong_password else nullcontext():
            send = send_in_process(client)
            responses = [send(method, "/optional", headers) for headers in requests for method in ("POST", "WS")]
            text += "".join(f"{response.body} {dict(response.headers or {})}" for response in responses)
    text += output()
    for reason in ("bad_signature", "expired", "wrong_cookie_name", "origin", "no response", "503 responses"):
        assert reason in text
    for credential in (who.token, expired.token, who.cookie_value, forged, PASSWORD, SECRET):
        assert credential not in text


URL = f"postgresql://app:{PASSWORD}@host/app"
WRONG: dict[str, dict[str, Any]] = {
    "a short secret": {"secret": TOKEN[:31]},
    "secrets without a version": {"secret": None, "secrets": TOKEN},
    "a database URL without a scheme": {"database_url": URL.removeprefix("postgresql://")},
    "another database": {"database_url": URL.replace("postgresql", "mysql")},
    "an invalid host": {"database_url": URL.replace("host", "[::1")},
    "an invalid port": {"database_url": URL.replace("host", "host:port")},
    "a password that is not escaped": {"database_url": URL.replace(PASSWORD, f"{PASSWORD}@{PASSWORD}/{PASSWORD}")},
    "a password with a question mark": {"database_url": URL.replace(PASSWORD, f"1?{PASSWORD}")},
    "a password with a hash": {"database_url": f"postgresql://host/app?user=app&password={PASSWORD}#{PASSWORD}"},
    "several hosts": {"database_url": URL.replace("host", "one,two")},
    "an unsupported parameter": {"database_url": f"{URL}?sslkey=x"},
    "an unknown value": {"database_url": f"{URL}?sslmode=perhaps"},
    "a missing file": {"database_url": f"{URL}?sslmode=verify-full&sslrootcert=/nowhere.pem"},
    "a list for a database URL": {"database_url": ["postgresql", PASSWORD]},
    "a list for a base URL": {"base_url": [PASSWORD]},
    "a text for a number": {"pool_size": PASSWORD},
    "a map for a number": {"lookup_timeout_seconds": {"password": PASSWORD}},
    "a text for a map": {"user_columns": PASSWORD},
}


@pytest.mark.parametrize("what", WRONG)
def test_a_configuration_error_contains_no_value(what: str, output: Callable[[], str]) -> None:
    good: dict[str, Any] = {"database_url": unreachable_dsn(), "secret": SECRET, "base_url": BASE_URL}
    with pytest.raises(ConfigurationError) as raised:
        Auth(AuthSettings(**good | WRONG[what]))
    for credential in (PASSWORD, TOKEN, TOKEN[:31], SECRET):
        assert credential not in logged_text(raised.value) + output()


def test_an_environment_error_contains_no_value(environment: pytest.MonkeyPatch, output: Callable[[], str]) -> None:
    environment.setenv("DATABASE_URL", f"postgresql://app:{PASSWORD}@host/app")
    environment.setenv("BETTER_AUTH_SECRET", SECRET)
    for name in ("POOL_SIZE", "USER_COLUMNS", "SECURE_COOKIES"):
        with environment.context() as only_here:
            only_here.setenv(f"AUTH_MIDDLEWARE_{name}", TOKEN)
            with pytest.raises(ConfigurationError) as raised:
                get_auth()
            text = logged_text(raised.value) + output()
            assert name.lower() in text
            for credential in (PASSWORD, SECRET, TOKEN):
                assert credential not in text


def test_settings_and_instances_reveal_no_credential() -> None:
    settings = AuthSettings(
        database_url=f"postgresql://app:{PASSWORD}@host/app", secret=SECRET, secrets=f"1:{SECRET}", base_url=BASE_URL
    )
    auth = Auth(settings)
    texts = (repr(settings), str(settings), settings.model_dump_json(), str(settings.model_dump()))
    for text in (*texts, repr(auth), str(auth), str(vars(auth))):
        assert PASSWORD not in text
        assert SECRET not in text


async def test_a_store_error_and_its_causes_contain_no_credential(make_auth: MakeAuth, database: Database) -> None:
    auth = make_auth(database_url=database.dsn.replace(database.dsn.split(":")[2].partition("@")[0], PASSWORD))
    with pytest.raises(AuthError) as raised:
        await auth.validate_session(signed(TOKEN))
    assert raised.value.__cause__ is not None
    for credential in (PASSWORD, TOKEN, SIGNATURE, SECRET):
        assert credential not in logged_text(raised.value)


async def test_an_error_in_an_own_field_contains_no_value(
    make_auth: MakeAuth, database: Database, output: Callable[[], str]
) -> None:
    class Member(AuthUser):
        role: int

    who = database.sign_in()
    database.execute(f"""ALTER TABLE "user" ADD role TEXT DEFAULT '{PASSWORD}'""")
    with pytest.raises(AuthError) as raised:
        await make_auth(user_model=Member).validate_session(who.cookie_value)
    text = logged_text(raised.value) + output()
    assert "role" in text
    for credential in (PASSWORD, who.token, who.email):
        assert credential not in text


def session(model: type[AuthSession] = AuthSession) -> AuthSession:
    now = datetime.now(UTC)
    optional = dict.fromkeys(("ip_address", "user_agent", "created_at", "updated_at"))
    return model.model_validate({"id": "s", "user_id": "u", "token": TOKEN, "expires_at": now, **optional})


class DeviceSession(AuthSession):
    device: str | None = None


@pytest.mark.parametrize("model", [AuthSession, DeviceSession])
def test_a_sessions_token_is_readable_but_not_in_a_repr_or_dump(model: type[AuthSession]) -> None:
    of_model = session(model)
    assert of_model.token == TOKEN
    copied = of_model.model_copy(update={"user_agent": "x"})
    for each in (of_model, copied):
        assert "token" not in each.model_dump()
        for text in (repr(each), str(each), f"{each}", each.model_dump_json(), str(each.model_dump(mode="json"))):
            assert TOKEN not in text


def test_the_models_are_frozen_and_their_errors_contain_no_value() -> None:
    of_model: Any = session()
    with pytest.raises(ValidationError) as frozen:
        of_model.token = "another"
    with pytest.raises(ValidationError) as invalid:
        AuthSession.model_validate({"id": "s", "token": [TOKEN], "expires_at": PASSWORD})
    with pytest.raises(ValidationError) as of_user:
        AuthUser.model_validate({"id": "u", "email": [PASSWORD]})
    for error in (frozen.value, invalid.value, of_user.value):
        assert PASSWORD not in logged_text(error)
        assert TOKEN not in logged_text(error)


def test_a_route_that_returns_the_session_returns_no_token(
    make_auth: MakeAuth, database: Database, output: Callable[[], str]
) -> None:
    auth, who = make_auth(), database.sign_in()
    app = guarded(auth)

    @app.get("/identity")
    async def get_session(session: Any = None) -> AuthSession:
        identity = await auth.validate_session(who.cookie_value)
        assert identity is not None
        assert session is None
        return identity.session

    with TestClient(app) as client:
        response = client.get("/identity", headers=cookie(who.token))
    assert response.json()["id"] == who.session_id
    assert who.token not in response.text + output()
