"""A cookie cache that is never of use costs the speed that was asked for: one warning says why."""

import base64
import hashlib
import hmac
import json
import logging
import time
from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

from dev.cookies import SECRET
from tests.support.applications import guarded
from tests.support.databases import Database, SignedIn
from tests.support.instances import MakeAuth

DATA = "better-auth.session_data"
HS256, EMPTY = b'{"alg":"HS256"}', b"{}"
DIR = b'{"alg":"dir","enc":"A256CBC-HS512","kid":"1"}'


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def compact_json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def payload(who: SignedIn, **changes: Any) -> dict[str, Any]:
    at = "2026-01-01T00:00:00.000Z"
    session = {"id": who.session_id, "userId": who.user_id, "token": who.token, "expiresAt": "2099-01-01T00:00:00.000Z"}
    user = {"id": who.user_id, "name": "Ada", "email": who.email, "emailVerified": True}
    times = {"createdAt": at, "updatedAt": at}
    return {"session": {**session, **times}, "user": {**user, **times}, "updatedAt": 1, "version": "1", **changes}


def compact(who: SignedIn, *, secret: str = SECRET, lives: float = 300, **changes: Any) -> str:
    expires_at = int((time.time() + lives) * 1000)
    inner = payload(who, **changes)
    signed = compact_json({**inner, "expiresAt": expires_at})
    signature = encode(hmac.digest(secret.encode(), signed.encode(), hashlib.sha256))
    return encode(compact_json({"session": inner, "expiresAt": expires_at, "signature": signature}).encode())


def jwt(who: SignedIn, *, secret: str = SECRET, lives: float = 300, **changes: Any) -> str:
    claims = {**payload(who, **changes), "iat": int(time.time()), "exp": int(time.time() + lives)}
    message = f"{encode(HS256)}.{encode(compact_json(claims).encode())}"
    return f"{message}.{encode(hmac.digest(secret.encode(), message.encode(), hashlib.sha256))}"


def jwe(_who: SignedIn) -> str:
    return f"{encode(DIR)}..aXY.Y2lwaGVy.dGFn"


def jwks(_who: SignedIn) -> str:
    header = b'{"alg":"EdDSA","typ":"better-auth.session-cache+jwt","kid":"1"}'
    return f"{encode(header)}.{encode(EMPTY)}.c2ln"


Make = Callable[[SignedIn], str]
CASES: dict[str, tuple[dict[str, Any], Make, tuple[str, ...]]] = {
    "jwt for compact": ({}, jwt, ("these are jwt", "is compact", "AUTH_MIDDLEWARE_CACHE_STRATEGY")),
    "jwe for compact": ({}, jwe, ("these are jwe", "is compact", "AUTH_MIDDLEWARE_CACHE_STRATEGY")),
    "jwks for jwt": ({"cache_strategy": "jwt"}, jwks, ("these are jwks", "is jwt")),
    "compact for jwt": ({"cache_strategy": "jwt"}, compact, ("these are compact", "is jwt")),
    "compact for jwe": ({"cache_strategy": "jwe"}, compact, ("these are compact", "is jwe")),
    "another version": (
        {"cache_version": "2"},
        compact,
        ('these have version "1"', 'is "2"', "AUTH_MIDDLEWARE_CACHE_VERSION"),
    ),
    "another version, jwt": ({"cache_strategy": "jwt"}, lambda who: jwt(who, version="7"), ('these have version "7"',)),
    "another secret": ({}, lambda who: compact(who, secret="x" * 32), ("not protected by BETTER_AUTH_SECRET",)),
    "another secret, jwt": (
        {"cache_strategy": "jwt"},
        lambda who: jwt(who, secret="x" * 32),
        ("not protected by BETTER_AUTH_SECRET",),
    ),
    "expired": ({}, lambda who: compact(who, lives=-60), ("expired", "get-session", "clock")),
    "expired, jwt": ({"cache_strategy": "jwt"}, lambda who: jwt(who, lives=-60), ("expired", "get-session")),
    "of another session": (
        {},
        lambda who: compact(who, session={"token": "x" * 32}),
        ("another session", "AUTH_MIDDLEWARE_CACHE_COOKIE_NAME"),
    ),
    "cut": ({}, lambda who: compact(who)[40:], ("form of compact",)),
}


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    logged = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    return [line for line in logged if not line.startswith("trusted_origins ")]


@pytest.mark.parametrize("name", CASES)
def test_a_cache_that_cannot_be_read_is_one_warning_after_the_first_twenty(
    make_auth: MakeAuth, database: Database, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    settings, make, parts = CASES[name]
    who = database.sign_in()
    with TestClient(guarded(make_auth(freshness="cookie_cache", **settings))) as client:
        headers = {"Cookie": f"{who.headers['Cookie']}; {DATA}={make(who)}"}
        for number in range(1, 60):
            assert client.get("/required", headers=headers).status_code == 200
            assert len(warnings(caplog)) == (number >= 20), number
    [line] = warnings(caplog)
    for part in ("cookie_cache", DATA, *parts):
        assert part in line, line
    assert who.token not in line


def test_a_cache_whose_cookie_never_comes_is_one_warning(
    make_auth: MakeAuth, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    who = database.sign_in()
    with TestClient(guarded(make_auth(freshness="cookie_cache"))) as client:
        for number in range(1, 60):
            assert client.get("/required", headers=who.headers).status_code == 200
            assert len(warnings(caplog)) == (number >= 20), number
    [line] = warnings(caplog)
    for part in (DATA, "session.cookieCache", "AUTH_MIDDLEWARE_CACHE_COOKIE_NAME"):
        assert part in line, line


def test_one_cookie_that_was_read_shows_that_the_settings_are_right(
    make_auth: MakeAuth, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    who = database.sign_in()
    auth = make_auth(freshness="cookie_cache")
    with TestClient(guarded(auth)) as client:
        cookie = who.headers["Cookie"]
        for data in [compact(who), *[jwt(who)] * 40]:
            assert client.get("/required", headers={"Cookie": f"{cookie}; {DATA}={data}"}).status_code == 200
        for _ in range(40):
            client.get("/required", headers={"Cookie": cookie})
    assert auth.counters["cookie_cache"] == 1
    assert warnings(caplog) == []


def test_requests_without_a_session_do_not_count(
    make_auth: MakeAuth, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    who = database.sign_in()
    with TestClient(guarded(make_auth(freshness="cookie_cache"))) as client:
        client.get("/required", headers=who.headers)
        for _ in range(40):
            client.get("/optional", headers={"Cookie": f"{DATA}={jwt(who)}"})
            client.get("/optional")
    assert not any("cookie_cache" in line for line in warnings(caplog))
