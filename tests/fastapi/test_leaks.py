"""No secret, token or password is in anything that is logged, printed or raised; nor in a model's repr or dump."""

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
def told(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Generator[Callable[[], str]]:
    """Everything that was logged, by any logger at any level, and printed, by Python or by Rust."""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "auth_middleware")

    def everything() -> str:
        printed = capfd.readouterr()
        structured = "\n".join(str(record.__dict__) for record in caplog.records)
        return caplog.text + structured + printed.out + printed.err

    yield everything
    assert SECRET not in everything()


def shown(error: BaseException) -> str:
    """What a log with a traceback would hold, the causes included."""
    return f"{error} {error!r} {error.args} {''.join(traceback.format_exception(error))}"


def test_a_requests_life_tells_no_credential(make_auth: MakeAuth, database: Database, told: Callable[[], str]) -> None:
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
            answers = [send(method, "/optional", headers) for headers in requests for method in ("POST", "WS")]
            text += "".join(f"{answer.body} {dict(answer.headers or {})}" for answer in answers)
    text += told()
    for reason in ("bad_signature", "expired", "wrong_cookie_name", "origin", "no answer", "503 from now on"):
        assert reason in text
    for credential in (who.token, expired.token, who.cookie_value, forged, PASSWORD, SECRET):
        assert credential not in text


URL = f"postgresql://app:{PASSWORD}@host/app"
WRONG: dict[str, dict[str, Any]] = {
    "a short secret": {"secret": TOKEN[:31]},
    "secrets without a version": {"secret": None, "secrets": TOKEN},
    "a database URL without a scheme": {"database_url": URL.removeprefix("postgresql://")},
    "another database": {"database_url": URL.replace("postgresql", "mysql")},
    "a host that is none": {"database_url": URL.replace("host", "[::1")},
    "a port that is none": {"database_url": URL.replace("host", "host:port")},
    "a password that is not escaped": {"database_url": URL.replace(PASSWORD, f"{PASSWORD}@{PASSWORD}/{PASSWORD}")},
    "a password with a question mark": {"database_url": URL.replace(PASSWORD, f"1?{PASSWORD}")},
    "a password with a hash": {"database_url": f"postgresql://host/app?user=app&password={PASSWORD}#{PASSWORD}"},
    "several hosts": {"database_url": URL.replace("host", "one,two")},
    "a parameter that nobody knows": {"database_url": f"{URL}?sslkey=x"},
    "a value that nobody knows": {"database_url": f"{URL}?sslmode=perhaps"},
    "a file that is not there": {"database_url": f"{URL}?sslmode=verify-full&sslrootcert=/nowhere.pem"},
    "a list for a database URL": {"database_url": ["postgresql", PASSWORD]},
    "a list for a base URL": {"base_url": [PASSWORD]},
    "a text for a number": {"pool_size": PASSWORD},
    "a map for a number": {"lookup_timeout_seconds": {"password": PASSWORD}},
    "a text for a map": {"user_columns": PASSWORD},
}


@pytest.mark.parametrize("what", WRONG)
def test_a_configuration_error_shows_no_value(what: str, told: Callable[[], str]) -> None:
    good: dict[str, Any] = {"database_url": unreachable_dsn(), "secret": SECRET, "base_url": BASE_URL}
    with pytest.raises(ConfigurationError) as raised:
        Auth(AuthSettings(**good | WRONG[what]))
    for credential in (PASSWORD, TOKEN, TOKEN[:31], SECRET):
        assert credential not in shown(raised.value) + told()


def test_a_bad_environment_shows_no_value(environment: pytest.MonkeyPatch, told: Callable[[], str]) -> None:
    environment.setenv("DATABASE_URL", f"postgresql://app:{PASSWORD}@host/app")
    environment.setenv("BETTER_AUTH_SECRET", SECRET)
    for name in ("POOL_SIZE", "USER_COLUMNS", "SECURE_COOKIES"):
        with environment.context() as only_here:
            only_here.setenv(f"AUTH_MIDDLEWARE_{name}", TOKEN)
            with pytest.raises(ConfigurationError) as raised:
                get_auth()
            text = shown(raised.value) + told()
            assert name.lower() in text
            for credential in (PASSWORD, SECRET, TOKEN):
                assert credential not in text


def test_settings_and_instances_hide_what_they_hold() -> None:
    settings = AuthSettings(
        database_url=f"postgresql://app:{PASSWORD}@host/app", secret=SECRET, secrets=f"1:{SECRET}", base_url=BASE_URL
    )
    auth = Auth(settings)
    texts = (repr(settings), str(settings), settings.model_dump_json(), str(settings.model_dump()))
    for text in (*texts, repr(auth), str(auth), str(vars(auth))):
        assert PASSWORD not in text
        assert SECRET not in text


async def test_a_store_error_and_its_causes_show_no_credential(make_auth: MakeAuth, database: Database) -> None:
    auth = make_auth(database_url=database.dsn.replace(database.dsn.split(":")[2].partition("@")[0], PASSWORD))
    with pytest.raises(AuthError) as raised:
        await auth.validate_session(signed(TOKEN))
    assert raised.value.__cause__ is not None
    for credential in (PASSWORD, TOKEN, SIGNATURE, SECRET):
        assert credential not in shown(raised.value)


async def test_a_rows_own_field_that_does_not_fit_shows_no_value(
    make_auth: MakeAuth, database: Database, told: Callable[[], str]
) -> None:
    class Member(AuthUser):
        role: int

    who = database.sign_in()
    database.execute(f"""ALTER TABLE "user" ADD role TEXT DEFAULT '{PASSWORD}'""")
    with pytest.raises(AuthError) as raised:
        await make_auth(user_model=Member).validate_session(who.cookie_value)
    text = shown(raised.value) + told()
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
def test_a_sessions_token_is_readable_and_in_no_repr_and_no_dump(model: type[AuthSession]) -> None:
    of_model = session(model)
    assert of_model.token == TOKEN
    copied = of_model.model_copy(update={"user_agent": "x"})
    for each in (of_model, copied):
        assert "token" not in each.model_dump()
        for text in (repr(each), str(each), f"{each}", each.model_dump_json(), str(each.model_dump(mode="json"))):
            assert TOKEN not in text


def test_the_models_are_frozen_and_their_errors_show_no_value() -> None:
    of_model: Any = session()
    with pytest.raises(ValidationError) as frozen:
        of_model.token = "another"
    with pytest.raises(ValidationError) as invalid:
        AuthSession.model_validate({"id": "s", "token": [TOKEN], "expires_at": PASSWORD})
    with pytest.raises(ValidationError) as of_user:
        AuthUser.model_validate({"id": "u", "email": [PASSWORD]})
    for error in (frozen.value, invalid.value, of_user.value):
        assert PASSWORD not in shown(error)
        assert TOKEN not in shown(error)


def test_a_route_that_returns_the_session_returns_no_token(
    make_auth: MakeAuth, database: Database, told: Callable[[], str]
) -> None:
    auth, who = make_auth(), database.sign_in()
    app = guarded(auth)

    @app.get("/whole")
    async def whole(session: Any = None) -> AuthSession:
        identity = await auth.validate_session(who.cookie_value)
        assert identity is not None
        assert session is None
        return identity.session

    with TestClient(app) as client:
        answer = client.get("/whole", headers=cookie(who.token))
    assert answer.json()["id"] == who.session_id
    assert who.token not in answer.text + told()
