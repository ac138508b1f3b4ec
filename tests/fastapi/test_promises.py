"""The response to each kind of request on each kind of route."""

from typing import Any

import pytest
from fastapi import FastAPI, HTTPException
from starlette.requests import HTTPConnection

from auth_middleware import Auth, get_current_session, get_current_user, get_optional_user
from dev.cookies import COOKIE_NAME, cookie, new_token, signed
from tests.support.applications import Response, Send, SendWith, guarded
from tests.support.databases import Database
from tests.support.instances import MakeAuth, unreachable_dsn

CHALLENGE = 'Cookie realm="better-auth"'
ANONYMOUS = {"detail": "Not authenticated"}
INVALID = {"detail": "Invalid or expired session"}
FORBIDDEN = {"detail": "Origin not allowed"}
UNAVAILABLE = {"detail": "Authentication is temporarily unavailable"}
HOSTILE = {"Origin": "https://evil.example"}

NO_SESSIONS = ["forged", "signed with another secret", "unsigned", "expired", "revoked", "unreadable", "deleted user"]


def headers_of(kind: str, database: Database) -> dict[str, str]:
    """The headers of a request with an invalid cookie of this kind."""
    who = database.sign_in(expires_at="2020-01-01T00:00:00Z" if kind == "expired" else None)
    if kind == "unreadable":  # two rows with one token
        database.execute("ALTER TABLE session DROP CONSTRAINT session_token_key")
        database.execute(
            "INSERT INTO session (id, user_id, token, expires_at) "
            "SELECT 'another', user_id, token, expires_at FROM session"
        )
    if kind == "revoked":
        database.execute("DELETE FROM session")
    if kind == "deleted user":
        database.execute("ALTER TABLE session DROP CONSTRAINT session_user_id_fkey")
        database.execute('DELETE FROM "user"')
    if kind == "signed with another secret":
        return cookie(who.token, secret=new_token() * 2)
    invalid = {"forged": f"{who.token}.{'A' * 43}%3D", "unsigned": who.token}
    return {"Cookie": f"{COOKIE_NAME}={invalid.get(kind, who.cookie_value)}"}


def expect_401(response: Response, body: Any) -> None:
    assert (response.status, response.body, response.header("www-authenticate")) == (401, body, CHALLENGE)


def expect_503(response: Response, retry_after: str) -> None:
    assert (response.status, response.body, response.header("retry-after")) == (503, UNAVAILABLE, retry_after)
    assert response.header("www-authenticate") is None


def test_a_request_without_a_cookie_is_not_authenticated(send: Send) -> None:
    for headers in ({}, {"Cookie": "theme=dark"}, {"Cookie": f"{COOKIE_NAME}="}):
        expect_401(send("GET", "/required", headers), ANONYMOUS)
        expect_401(send("GET", "/session", headers), ANONYMOUS)
        expect_401(send("WS", "/required", headers), ANONYMOUS)
        assert send("GET", "/optional", headers).body is None
        assert send("WS", "/optional", headers) == Response(101, None)
        assert send("WS", "/validated", headers) == Response(101, None)


@pytest.mark.parametrize("kind", NO_SESSIONS)
def test_every_kind_of_invalid_session_is_refused_alike(send: Send, database: Database, kind: str) -> None:
    headers = headers_of(kind, database)
    expect_401(send("GET", "/required", headers), INVALID)
    expect_401(send("POST", "/session", headers), INVALID)
    expect_401(send("WS", "/required", headers), INVALID)
    optional = send("GET", "/optional", headers)
    assert (optional.status, optional.body) == (200, None)
    assert send("WS", "/optional", headers) == Response(101, None)
    assert send("WS", "/validated", headers) == Response(101, None)


def test_a_valid_session_identifies_its_user_on_every_route(send: Send, database: Database) -> None:
    somebody_else, who = database.sign_in(), database.sign_in()
    for path in ("/required", "/optional", "/session"):
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            response = send(method, path, who.headers)
            assert (response.status, response.body) == (200, who.user_id)
    for path in ("/required", "/optional", "/validated"):
        assert send("WS", path, who.headers) == Response(101, who.user_id)
    assert send("GET", "/required", somebody_else.headers).body == somebody_else.user_id


def test_an_unavailable_store_is_503_and_never_anonymous(send_with: SendWith, make_auth: MakeAuth) -> None:
    send = send_with(make_auth(database_url=unreachable_dsn(), retry_after_seconds=7))
    headers = cookie(new_token())
    for path in ("/required", "/optional", "/session"):
        expect_503(send("GET", path, headers), "7")
    for path in ("/required", "/optional", "/validated"):
        expect_503(send("WS", path, headers), "7")


def test_a_request_refused_for_its_headers_needs_no_store(send_with: SendWith, make_auth: MakeAuth) -> None:
    send = send_with(make_auth(database_url=unreachable_dsn()))
    expect_401(send("GET", "/required"), ANONYMOUS)
    expect_401(send("GET", "/required", cookie(new_token(), secret=new_token() * 2)), INVALID)
    assert send("GET", "/optional").body is None
    assert send("POST", "/optional", cookie(new_token()) | HOSTILE).status == 403


def test_a_foreign_page_may_not_use_the_cookie(send: Send, database: Database) -> None:
    headers = database.sign_in().headers | HOSTILE
    for path in ("/required", "/optional", "/session"):
        response = send("POST", path, headers)
        assert (response.status, response.body) == (403, FORBIDDEN)
    for path in ("/required", "/optional", "/validated"):
        response = send("WS", path, headers)
        assert (response.status, response.body) == (403, FORBIDDEN)


def connection(app: FastAPI, headers: dict[str, str], method: str = "GET") -> HTTPConnection:
    pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    return HTTPConnection({"type": "http", "app": app, "method": method, "headers": pairs})


async def test_a_direct_await_gives_the_same_results(auth: Auth, database: Database) -> None:
    app = guarded(auth)
    who = database.sign_in()
    assert (await get_current_user(connection(app, who.headers))).id == who.user_id
    user = await get_optional_user(connection(app, who.headers))
    assert user is not None
    assert user.id == who.user_id
    assert (await get_current_session(connection(app, who.headers))).id == who.session_id
    for headers, detail in (({}, ANONYMOUS), (cookie(new_token()), INVALID)):
        assert await get_optional_user(connection(app, headers)) is None
        with pytest.raises(HTTPException) as refused:
            await get_current_user(connection(app, headers))
        assert (refused.value.status_code, {"detail": refused.value.detail}) == (401, detail)
        assert refused.value.headers == {"WWW-Authenticate": CHALLENGE}
    with pytest.raises(HTTPException) as forbidden:
        await get_optional_user(connection(app, who.headers | HOSTILE, "POST"))
    assert forbidden.value.status_code == 403


async def test_a_direct_await_of_the_optional_user_fails_without_the_store(make_auth: MakeAuth) -> None:
    app = guarded(make_auth(database_url=unreachable_dsn(), retry_after_seconds=7))
    with pytest.raises(HTTPException) as refused:
        await get_optional_user(connection(app, cookie(new_token())))
    assert (refused.value.status_code, refused.value.headers) == (503, {"Retry-After": "7"})


async def test_an_explicit_instance_has_the_same_dependencies(auth: Auth, database: Database) -> None:
    who = database.sign_in()
    request = connection(FastAPI(), who.headers)
    assert (await auth.current_user(request)).email == who.email
    assert (await auth.current_session(request)).token == who.token
    optional = await auth.optional_user(request)
    assert optional is not None
    assert optional.name == "Ada Lovelace"
    identity = await auth.validate_session(who.cookie_value)
    assert identity is not None
    session, user = identity
    assert (session.user_id, user.id) == (who.user_id, who.user_id)


async def test_a_cookie_value_is_valid_with_and_without_percent_encoding(auth: Auth, database: Database) -> None:
    who = database.sign_in()
    encoded = signed(who.token)
    assert "%3D" in encoded
    for value in (encoded, encoded.replace("%3D", "=").replace("%2B", "+").replace("%2F", "/")):
        assert await auth.validate_session(value) is not None
    for value in (who.token, f"{who.token}.", "", None, encoded + "x"):
        assert await auth.validate_session(value) is None
