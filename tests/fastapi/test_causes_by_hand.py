"""`validate_session(await get_session_from_cookie(request))` logs the same causes as `get_current_user`."""

import logging
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import unquote

import pytest
from fastapi import Depends, FastAPI, HTTPException, Request
from starlette.testclient import TestClient

from auth_middleware import Auth, get_auth, get_session_from_cookie, validate_session
from dev.cookies import COOKIE_NAME, SECURE_COOKIE_NAME, cookie, new_token, signed
from tests.fastapi.test_causes import CASES, lines, start, warnings
from tests.support.databases import Database
from tests.support.instances import MakeAuth


@pytest.fixture(autouse=True)
def at_info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "auth_middleware")


def by_hand(auth: Auth[Any, Any]) -> FastAPI:
    app = FastAPI(lifespan=auth.lifespan)
    app.dependency_overrides[get_auth] = lambda: auth

    @app.get("/")
    async def route(value: Annotated[str | None, Depends(get_session_from_cookie)]) -> str:
        identity = await auth.validate_session(value)
        if identity is None:
            raise HTTPException(401)
        return identity.user.id

    @app.get("/presence")
    async def presence(request: Request) -> bool:
        return await get_session_from_cookie(request) is not None

    return app


def cookie_part(text: str) -> bool:
    return "cookie" in text.lower() or "session_data" in text


# What only `Authorization` shows is a cause for both too, where no bearer token decides.
HEADERS_ONLY = [name for name in CASES if "cookie" in CASES[name].settings.get("credentials", "cookie")]


@pytest.mark.parametrize("name", HEADERS_ONLY)
def test_each_cause_is_the_same_one_line(
    make_auth: MakeAuth, database: Database, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    case = CASES[name]
    auth = start(make_auth, database, case.settings)
    headers: Mapping[str, str] = case.headers()
    # A signed token in `Authorization` decides alone: there is no cookie to validate.
    decides = "authorization" in {key.lower() for key in headers} and "bearer" in case.settings.get("credentials", "")
    with TestClient(by_hand(auth)) as client:
        warnings(caplog)
        for _ in range(3):
            assert client.get("/", headers=headers).status_code == 401
    found = [line for line in warnings(caplog) if "CORSMiddleware, so" not in line]
    if decides and not found:
        assert headers["Authorization"].startswith("Bearer ")
        return
    [line] = found
    for part in case.parts:
        assert part in line, line


def test_the_cause_has_the_path_and_the_reason(
    make_auth: MakeAuth, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    with TestClient(by_hand(start(make_auth, database, {}))) as client:
        caplog.clear()
        client.get("/presence?token=x", headers=cookie(new_token(), name=SECURE_COOKIE_NAME))
    [record] = [record for record in caplog.records if "other spelling" in record.getMessage()]
    fields = vars(record)
    assert (record.levelno, fields["reason"], fields["path"]) == (logging.WARNING, "wrong_cookie_name", "/presence")
    assert "refused: " not in caplog.text


def test_after_a_good_cookie_it_is_no_warning(
    make_auth: MakeAuth, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    who = database.sign_in()
    with TestClient(by_hand(make_auth())) as client:
        assert client.get("/", headers=who.headers).json() == who.user_id
        lines(caplog)
        client.get("/", headers=cookie(who.token, name=SECURE_COOKIE_NAME))
        client.get("/presence", headers={"Cookie": "theme=dark"})
    [(level, line)] = lines(caplog)
    assert (level, SECURE_COOKIE_NAME in line) == (logging.INFO, True)


@pytest.mark.parametrize("credentials", ["bearer", "jwt", "bearer,jwt"])
async def test_validate_session_accepts_a_cookie_only_if_it_is_listed(
    make_auth: MakeAuth, database: Database, caplog: pytest.LogCaptureFixture, credentials: str
) -> None:
    who = database.sign_in()
    auth = start(make_auth, database, {"credentials": credentials})
    warnings(caplog)
    for value in (who.cookie_value, unquote(who.cookie_value), signed(new_token()), "forged.value", None, ""):
        assert await auth.validate_session(value) is None
    [line] = warnings(caplog)
    assert 'credentials (AUTH_MIDDLEWARE_CREDENTIALS) does not list "cookie"' in line
    assert auth.counters["no_token"] == 6
    assert auth.counters["identified"] == 0


@pytest.mark.parametrize("credentials", ["cookie", "cookie,bearer", "cookie,jwt"])
async def test_validate_session_accepts_a_cookie_that_is_listed(
    make_auth: MakeAuth, database: Database, caplog: pytest.LogCaptureFixture, credentials: str
) -> None:
    who = database.sign_in()
    auth = start(make_auth, database, {"credentials": credentials})
    identity = await auth.validate_session(who.cookie_value)
    assert identity
    assert identity.user.id == who.user_id
    assert warnings(caplog) == []


async def test_the_module_function_follows_the_environment(
    environment: pytest.MonkeyPatch, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    who = database.sign_in()
    environment.setenv("DATABASE_URL", database.dsn)
    environment.setenv("BETTER_AUTH_SECRET", "0" * 16 + new_token())
    environment.setenv("BETTER_AUTH_URL", "http://auth.test")
    environment.setenv("AUTH_MIDDLEWARE_CREDENTIALS", "bearer")
    assert await validate_session(signed(who.token)) is None
    assert any('does not list "cookie"' in line for line in warnings(caplog))
    assert COOKIE_NAME not in caplog.text
    await get_auth().close()
