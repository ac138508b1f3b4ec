"""The first 401 says why: one warning for each cause, with the setting to change."""

import base64
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, unquote

import pytest
from starlette.testclient import TestClient

from auth_middleware import Auth
from auth_middleware.operator_log import MOST_CAUSES, OncePerCause, RateLimit
from dev.cookies import COOKIE_NAME, SECRET, SECURE_COOKIE_NAME, cookie, new_token, signed
from tests.support.applications import guarded, without_cors
from tests.support.databases import Database, SignedIn
from tests.support.instances import MakeAuth
from tests.support.signing import TokenIssuer

ISSUER = "https://auth.example.com"
Headers = Mapping[str, str]


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    """The lines since the last call, without those of the start and the reasons."""
    logged = [(record.levelno, record.getMessage()) for record in caplog.records if record.name == "auth_middleware"]
    caplog.clear()
    usual = ("opening", "lookups", "refused: ", "trusted_origins ")
    return [(level, line) for level, line in logged if not line.startswith(usual)]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [line for level, line in lines(caplog) if level == logging.WARNING]


def url_safe(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def with_value(value: str, name: str = COOKIE_NAME) -> Headers:
    return {"Cookie": f"{name}={value}"}


def bearer(token: str) -> Headers:
    return {"Authorization": f"Bearer {token}"}


def compact(token: str) -> str:
    return url_safe(json.dumps({"session": {"session": {"token": token}}, "expiresAt": 1, "signature": "x"}))


def token_signed_with(character: str) -> str:
    """A signed token whose signature contains this character."""
    return next(value for value in (unquote(signed(new_token())) for _ in range(1000)) if character in value)


def token_of(header: dict[str, Any], claims: dict[str, Any]) -> str:
    return f"{url_safe(json.dumps(header))}.{url_safe(json.dumps(claims))}.c2lnbmF0dXJl"


JWT = token_of({"alg": "EdDSA", "kid": "1"}, {"sub": "1"})
SNAPSHOT = token_of({"alg": "HS256"}, {"session": {}, "user": {}})


@dataclass
class Wrong:
    """A wrong configuration, or a wrong client: what it sends, and the parts of its one line."""

    parts: tuple[str, ...]
    headers: Callable[[], Headers]
    settings: dict[str, Any] = field(default_factory=dict[str, Any])


CASES = {
    "another secret": Wrong(
        ("BETTER_AUTH_SECRET differs", "fingerprint", "doctor"), lambda: cookie(new_token(), secret=new_token() * 2)
    ),
    "another secret, bearer": Wrong(
        ("BETTER_AUTH_SECRET differs",),
        lambda: bearer(signed(new_token(), new_token() * 2)),
        {"credentials": "cookie,bearer"},
    ),
    "their secret in quotes": Wrong(
        ("double quotes", "BETTER_AUTH_SECRET"), lambda: cookie(new_token(), secret=f'"{SECRET}"')
    ),
    "their secret with a line end": Wrong(("line end",), lambda: cookie(new_token(), secret=f"{SECRET}\n")),
    "their secret is the public default": Wrong(
        ("public default", "BETTER_AUTH_SECRET"),
        lambda: cookie(new_token(), secret="better-auth-secret-12345678901234567890"),
    ),
    "a former secret": Wrong(
        ("AUTH_MIDDLEWARE_PREVIOUS_SECRETS",),
        lambda: cookie(new_token(), secret="former" * 8),
        {"secret": None, "secrets": f"2:{SECRET},1:{'former' * 8}"},
    ),
    "the bare token": Wrong(("bare token", "send the signed one"), lambda: with_value(new_token())),
    "the bare token, bearer": Wrong(
        ("bare token", "send the signed one", "AUTH_MIDDLEWARE_BEARER_UNSIGNED"),
        lambda: bearer(new_token()),
        {"credentials": "bearer"},
    ),
    "encoded twice": Wrong(("encoded twice",), lambda: with_value(quote(signed(new_token()), safe=""))),
    "a signature in base64url": Wrong(
        ("base64url",), lambda: with_value(token_signed_with("/").replace("+", "-").replace("/", "_"))
    ),
    "a signature without padding": Wrong(("base64url",), lambda: with_value(unquote(signed(new_token())).rstrip("="))),
    "a plus that became a space": Wrong(
        ("base64url", '"+"'), lambda: with_value(quote(token_signed_with("+").replace("+", " "), safe=""))
    ),
    "session_data as the token": Wrong(("session_data", "in place of"), lambda: with_value(compact(new_token()))),
    "session_data as the token, jwt": Wrong(("session_data", "in place of"), lambda: with_value(SNAPSHOT)),
    "a JWT as the cookie": Wrong(("JWT in place of", "AUTH_MIDDLEWARE_CREDENTIALS"), lambda: with_value(JWT)),
    "a variable without a value": Wrong(("without a value",), lambda: with_value("undefined")),
    "a cookie that was cut": Wrong(("cut or changed",), lambda: with_value(signed(new_token())[:40])),
    "a token without a row": Wrong(
        ("no row", "storeSessionInDatabase", "preserveSessionInDatabase", "DATABASE_URL"), lambda: cookie(new_token())
    ),
    "another prefix": Wrong(
        ("my-app.session_token", "AUTH_MIDDLEWARE_COOKIE_PREFIX=my-app"),
        lambda: cookie(new_token(), name="my-app.session_token", secret=new_token() * 2),
    ),
    "another prefix, secure": Wrong(
        ("__Secure-shop.session_token", "AUTH_MIDDLEWARE_COOKIE_PREFIX=shop"),
        lambda: with_value("a.b", "__Secure-shop.session_token"),
        {"base_url": ISSUER},
    ),
    "another prefix, session_data": Wrong(
        ("shop.session_data.0", "AUTH_MIDDLEWARE_COOKIE_PREFIX=shop"), lambda: with_value("a", "shop.session_data.0")
    ),
    "our cookie_name is wrong": Wrong(
        (COOKIE_NAME, "AUTH_MIDDLEWARE_COOKIE_NAME"), lambda: with_value("a.b"), {"cookie_name": "sid"}
    ),
    "another prefix, well signed": Wrong(
        ("set AUTH_MIDDLEWARE_COOKIE_PREFIX=my-app, and leave AUTH_MIDDLEWARE_COOKIE_NAME unset",),
        lambda: cookie(new_token(), name="my-app.session_token"),
    ),
    "another prefix, well signed and secure": Wrong(
        ("set AUTH_MIDDLEWARE_COOKIE_PREFIX=shop and AUTH_MIDDLEWARE_SECURE_COOKIES=true, and leave",),
        lambda: cookie(new_token(), name="__Secure-shop.session_token"),
    ),
    "another prefix, well signed, secure here too": Wrong(
        ("set AUTH_MIDDLEWARE_COOKIE_PREFIX=a.b, and leave",),
        lambda: cookie(new_token(), name="__Secure-a.b.session_token"),
        {"base_url": ISSUER},
    ),
    "a page without credentials": Wrong(
        ('credentials: "include"', "CORSMiddleware", "trusted_origins", "http://localhost:5173"),
        lambda: {"Origin": "http://localhost:5173", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "cross-site"},
        {"trusted_origins": ()},
    ),
    "a page of the same site without credentials": Wrong(
        ('credentials: "include"', "CORSMiddleware", "trusted_origins"),
        lambda: {"Origin": "https://app.test", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-site"},
        {"trusted_origins": ()},
    ),
    "a renamed cookie": Wrong(
        ("the cookie sid is signed", "AUTH_MIDDLEWARE_COOKIE_NAME=sid"), lambda: cookie(new_token(), name="sid")
    ),
    "the other spelling": Wrong(
        (COOKIE_NAME, "other spelling", "BETTER_AUTH_URL"), lambda: cookie(new_token()), {"base_url": ISSUER}
    ),
    "the other spelling, secure": Wrong(
        (SECURE_COOKIE_NAME, "other spelling", "BETTER_AUTH_URL"),
        lambda: cookie(new_token(), name=SECURE_COOKIE_NAME),
    ),
    "session_data alone": Wrong(
        ("better-auth.session_data", COOKIE_NAME), lambda: with_value("abc", "better-auth.session_data")
    ),
    "session_data alone, in chunks": Wrong(
        ("better-auth.session_data", COOKIE_NAME), lambda: with_value("abc", "better-auth.session_data.0")
    ),
    "a sibling host": Wrong(
        ("cookies of auth.example.com do not reach api.example.com", "crossSubDomainCookies", "JWTs"),
        lambda: {"Host": "api.example.com"},
        {"base_url": ISSUER},
    ),
    "another site": Wrong(
        ("cookies of auth.example.com do not reach api.other.dev", "JWTs"),
        lambda: {"Host": "API.other.dev:8443", "Cookie": "theme=dark"},
        {"base_url": ISSUER},
    ),
    "two names of a hosting service": Wrong(
        ("cookies of my-auth.vercel.app do not reach my-api.vercel.app", "only the public suffix vercel.app", "proxy"),
        lambda: {"Host": "my-api.vercel.app"},
        {"base_url": "https://my-auth.vercel.app"},
    ),
    "two names under a suffix of two labels": Wrong(
        ("cookies of auth-shop.co.uk do not reach api-shop.co.uk", "only the public suffix co.uk", "JWTs"),
        lambda: {"Host": "api-shop.co.uk"},
        {"base_url": "https://auth-shop.co.uk"},
    ),
    "a sibling host under a suffix of two labels": Wrong(
        ("set advanced.crossSubDomainCookies at the Better Auth server, or use JWTs",),
        lambda: {"Host": "api.shop.co.uk"},
        {"base_url": "https://auth.shop.co.uk"},
    ),
    "localhost, from a page": Wrong(
        ("cookies of auth.example.com do not reach localhost",),
        lambda: {"Host": "localhost:8000", "Origin": "http://localhost:5173"},
        {"base_url": ISSUER},
    ),
    "another name of this machine": Wrong(
        ("127.0.0.1 instead of localhost",), lambda: {"Host": "127.0.0.1:8000"}, {"base_url": "http://localhost:3000"}
    ),
    "a JWT that is not listed": Wrong(
        ("JWT in its Authorization header", "AUTH_MIDDLEWARE_CREDENTIALS", '"jwt"'), lambda: bearer(JWT)
    ),
    "a session token that is not listed": Wrong(
        ("session token in its Authorization header", "AUTH_MIDDLEWARE_CREDENTIALS", '"bearer"'),
        lambda: bearer(signed(new_token())),
    ),
    "a bare token that is not listed": Wrong(('"bearer"',), lambda: bearer(new_token())),
    "a JWT beside bearer": Wrong(('does not list "jwt"',), lambda: bearer(JWT), {"credentials": "bearer"}),
    "a session token beside jwt": Wrong(
        ('does not list "bearer"',), lambda: bearer(signed(new_token())), {"credentials": "jwt", "base_url": ISSUER}
    ),
    "a cookie beside jwt": Wrong(
        ("session cookie", "AUTH_MIDDLEWARE_CREDENTIALS", '"cookie"'),
        lambda: cookie(new_token(), name=SECURE_COOKIE_NAME),
        {"credentials": "jwt", "base_url": ISSUER},
    ),
    "no scheme": Wrong(
        ("Authorization: Bearer",), lambda: {"Authorization": signed(new_token())}, {"credentials": "bearer"}
    ),
    "the scheme JWT": Wrong(
        ("Authorization: Bearer",),
        lambda: {"Authorization": f"JWT {JWT}"},
        {"credentials": "cookie,jwt", "base_url": ISSUER},
    ),
    "the scheme Token": Wrong(
        ("Authorization: Bearer",), lambda: {"Authorization": f"Token {signed(new_token())}"}, {"credentials": "bearer"}
    ),
    "a colon after Bearer": Wrong(
        ("Authorization: Bearer",), lambda: {"Authorization": "Bearer: x"}, {"credentials": "cookie,bearer"}
    ),
    "Bearer twice": Wrong(
        ("Authorization: Bearer", "scheme twice"),
        lambda: bearer(f"Bearer {signed(new_token())}"),
        {"credentials": "bearer"},
    ),
    "Bearer twice, not listed": Wrong(("Authorization: Bearer",), lambda: bearer(f"Bearer {JWT}")),
    "a JWT without a scheme, not listed": Wrong(
        ("Authorization: Bearer", "AUTH_MIDDLEWARE_CREDENTIALS"), lambda: {"Authorization": JWT}
    ),
    "a JWT after Bearer and a colon, not listed": Wrong(
        ("Authorization: Bearer",), lambda: {"Authorization": f"Bearer:{JWT}"}
    ),
    "undefined as the token": Wrong(("without a value",), lambda: bearer("undefined"), {"credentials": "bearer"}),
    "session_data as the bearer token": Wrong(
        ("session_data",), lambda: bearer(compact(new_token())), {"credentials": "bearer"}
    ),
}
# With these settings no such token is accepted, so a good cookie does not prove that they are right.
NEVER_ACCEPTED = {
    "a JWT that is not listed",
    "a session token that is not listed",
    "a bare token that is not listed",
    "a JWT beside bearer",
    "Bearer twice, not listed",
    "a JWT without a scheme, not listed",
    "a JWT after Bearer and a colon, not listed",
}
# Of an unsafe method, with a good cookie.
ORIGINS = {
    "https://page.example": ("https://page.example", "BETTER_AUTH_TRUSTED_ORIGINS"),
    "null": ("origin null", "cannot be trusted"),
}


def create_keys(database: Database) -> None:
    database.execute('CREATE TABLE jwks (id text, "publicKey" text, "privateKey" text, "createdAt" timestamptz)')


def start(make_auth: MakeAuth, database: Database, settings: dict[str, Any]) -> Auth[Any, Any]:
    if "jwt" in settings.get("credentials", ""):
        create_keys(database)
    return make_auth(**settings)


def succeed(client: TestClient, database: Database, auth: Auth[Any, Any]) -> None:
    """Sends the credential that these settings accept."""
    who = database.sign_in()
    accepts_cookie, _ = auth._parts.core.accepts  # pyright: ignore[reportPrivateUsage]
    headers = cookie(who.token, name=auth.cookie_name) if accepts_cookie else bearer(who.cookie_value)
    assert client.get("/required", headers=headers).status_code == 200


@pytest.mark.parametrize("name", CASES)
def test_a_wrong_configuration_is_one_line_and_nothing_on_repetition(
    make_auth: MakeAuth, database: Database, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    case = CASES[name]
    caplog.set_level(logging.INFO, "auth_middleware")
    auth = start(make_auth, database, case.settings)
    with TestClient(guarded(auth)) as client:
        warnings(caplog)
        sent = [case.headers() for _ in range(5)]
        answers = [client.get("/required", headers=headers) for headers in sent]
    assert {answer.status_code for answer in answers} == {401}
    [line] = warnings(caplog)
    for part in case.parts:
        assert part in line, line
    for headers in sent:
        for value in (headers.get("Cookie", "=").partition("=")[2], headers.get("Authorization", "")):
            token = unquote(value.removeprefix("Bearer ")).partition(".")[0]
            assert len(token) < 16 or token not in line
    assert SECRET not in line
    assert len(line) < 700


@pytest.mark.parametrize("name", [name for name in CASES if "jwt" not in CASES[name].settings.get("credentials", "")])
def test_after_its_check_has_succeeded_a_cause_is_no_warning(
    make_auth: MakeAuth, database: Database, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    case = CASES[name]
    caplog.set_level(logging.INFO, "auth_middleware")
    auth = start(make_auth, database, case.settings)
    with TestClient(guarded(auth)) as client:
        succeed(client, database, auth)
        caplog.clear()
        for _ in range(5):
            assert client.get("/required", headers=case.headers()).status_code == 401
    [(level, line)] = lines(caplog)
    # "Bearer: x" is another check than the cookie's, too.
    is_warning = name in NEVER_ACCEPTED or name == "a colon after Bearer"
    assert level == (logging.WARNING if is_warning else logging.INFO)
    for part in case.parts:
        assert part in line, line


@pytest.mark.parametrize("origin", ORIGINS)
def test_a_refused_origin_says_what_to_do(
    make_auth: MakeAuth, database: Database, caplog: pytest.LogCaptureFixture, origin: str
) -> None:
    with TestClient(guarded(make_auth())) as client:
        headers = {**database.sign_in().headers, "Origin": origin}
        for _ in range(3):
            assert client.post("/required", headers=headers).status_code == 403
    [line] = warnings(caplog)
    for part in ORIGINS[origin]:
        assert part in line, line
    assert (origin == "null") != ("BETTER_AUTH_TRUSTED_ORIGINS)" in line and "add it" in line)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Cookie": "theme=dark"},
        {"Host": "auth.example.com"},
        {"Host": "api.auth.example.com"},
        {"Host": "127.0.0.1:8000"},
        {"Host": "10.0.0.7"},
        {"Host": "[::1]:8000"},
        {"Host": "backend:8000"},
        {"Host": "api.default.svc"},
        {"Host": "api.example.com\N{LATIN SMALL LETTER E WITH ACUTE}"},
        {"Authorization": "Basic YTpi"},
        {"Authorization": "Token 9944b09199c62bcf9418ad846dd0e4bbdfc6ee4b"},
        {"Authorization": "Bearer abc"},
        {"Authorization": "Bearer sk_live_51HexampleExample"},
        {"Authorization": "Bearer 0b7e9f2c-8f0e-4b7f-9a54-3a0c0f2b7c11"},
        {"Origin": "http://page.test", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://page.test", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "cross-site"},
        {"Cookie": "better-auth.dont_remember=" + signed("true")},
        {"Cookie": "__Secure-better-auth.session_token_multi-abc=" + signed(new_token())},
    ],
)
def test_strangers_and_health_checks_are_no_cause(
    make_auth: MakeAuth, caplog: pytest.LogCaptureFixture, headers: dict[str, str]
) -> None:
    auth = make_auth(base_url=ISSUER)
    with TestClient(guarded(auth)) as client:
        raw = {name: value.encode("latin-1") for name, value in headers.items()}
        assert client.get("/optional", headers=raw).json() is None  # pyright: ignore[reportArgumentType]
    assert warnings(caplog) == []


def test_every_cause_has_the_same_response(make_auth: MakeAuth) -> None:
    """What the log says helps a forger, so the response does not say it."""
    answers: dict[str, set[tuple[Any, ...]]] = {"anonymous": set(), "refused": set()}
    for case in CASES.values():
        if case.settings.get("credentials", "cookie") != "cookie":
            continue
        auth = make_auth(**case.settings)
        with TestClient(without_cors(auth)) as client:
            response = client.get("/required", headers=case.headers())
        raw = (response.status_code, tuple(response.headers.raw), response.content)
        has_cookie = case.headers().get("Cookie", "").startswith(f"{auth.cookie_name}=")
        answers["refused" if has_cookie else "anonymous"].add(raw)
    [anonymous], [refused] = answers.values()
    assert anonymous[2] == b'{"detail":"Not authenticated"}'
    assert refused[2] == b'{"detail":"Invalid or expired session"}'
    assert dict(anonymous[1])[b"www-authenticate"] == dict(refused[1])[b"www-authenticate"]


def test_a_flood_of_differing_requests_is_a_few_lines(
    make_auth: MakeAuth, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    auth = make_auth(base_url="http://localhost:3000", credentials="cookie,bearer")
    who = database.sign_in()
    with TestClient(guarded(auth)) as client:
        for number in range(150):
            for headers in (
                cookie(new_token(), secret=new_token() * 2),
                cookie(new_token(), secret=f'"{SECRET}"'),
                with_value(new_token()),
                with_value(f"x{number}"),
                with_value(compact(new_token())),
                with_value(f"{number}", f"{number}.session_token"),
                with_value(signed(new_token()), f"cookie-{number}"),
                {"Host": f"{number}.example.com"},
                {"Host": f"127.0.0.{1 + number}"},
                bearer(new_token()),
                bearer(JWT),
                bearer(f"{number}.{number}.{number}.{number}"),
                {"Authorization": f"{number}.{number}"},
            ):
                client.get("/optional", headers=headers)
            client.post("/required", headers={**who.headers, "Origin": f"https://{number}.example.com"})
    # One more line is allowed every 20 seconds.
    assert MOST_CAUSES <= len(warnings(caplog)) < MOST_CAUSES + 10
    assert sum(auth.counters.values()) == 150 * 14


def test_the_limit_allows_another_line_after_its_time_and_no_line_is_lost(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    once = OncePerCause(limit=RateLimit(2, 20.0, lambda: now))
    for topic in "abc":
        once.log(topic, f"about {topic}")
    assert warnings(caplog) == ["about a", "about b"]
    now = 19.0
    once.log("c", "about c")
    assert warnings(caplog) == []
    now = 20.0
    for topic in "abc":
        once.log(topic, f"about {topic}")
    assert warnings(caplog) == ["about c"]
    now = 1e9
    for topic in "defg":
        once.log(topic, f"about {topic}")
    assert warnings(caplog) == ["about d", "about e"]


def expired(database: Database, *, days: float = 0.0) -> SignedIn:
    return database.sign_in(expires_at=datetime.now(UTC) - timedelta(days=days, minutes=1))


def test_only_sessions_that_just_expired_are_a_wrong_clock(
    make_auth: MakeAuth, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    with TestClient(guarded(make_auth())) as client:
        for who in [expired(database) for _ in range(4)]:
            for _ in range(5):
                assert client.get("/required", headers=who.headers).status_code == 401
        assert warnings(caplog) == []
        for who in [expired(database) for _ in range(3)]:
            assert client.get("/required", headers=who.headers).status_code == 401
    [line] = warnings(caplog)
    assert "clock" in line
    assert "AUTH_MIDDLEWARE_DATABASE_TIME_ZONE" in line


@pytest.mark.parametrize("days", [0, 2])
def test_old_sessions_and_those_beside_a_good_one_are_no_wrong_clock(
    make_auth: MakeAuth, database: Database, caplog: pytest.LogCaptureFixture, days: int
) -> None:
    with TestClient(guarded(make_auth())) as client:
        if not days:
            assert client.get("/required", headers=database.sign_in().headers).status_code == 200
        for _ in range(10):
            assert client.get("/required", headers=expired(database, days=days).headers).status_code == 401
    assert warnings(caplog) == []


def test_a_session_from_the_future_is_one_warning(
    make_auth: MakeAuth, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    who = database.sign_in()
    database.execute("UPDATE session SET created_at = now() + interval '5 minutes'")
    with TestClient(guarded(make_auth())) as client:
        for _ in range(3):
            assert client.get("/required", headers=who.headers).status_code == 200
    [line] = warnings(caplog)
    assert "created" in line
    assert "in the future" in line
    assert "clocks" in line


RefusedToken = tuple[dict[str, Any], dict[str, Any], tuple[str, ...]]


def refused_tokens(now: int) -> dict[str, RefusedToken]:
    """Header, claims and the words of the line, by what is wrong with the token at that time."""
    return {
        "another issuer": (
            {},
            {"iss": "http://localhost:3000"},
            ("http://localhost:3000", "AUTH_MIDDLEWARE_JWT_ISSUER"),
        ),
        "another audience": ({}, {"aud": "https://app.dev"}, ("https://app.dev", "AUTH_MIDDLEWARE_JWT_AUDIENCE")),
        "several other audiences": ({}, {"aud": ["a", "b"]}, ('"a, b"', "AUTH_MIDDLEWARE_JWT_AUDIENCE")),
        "from the future": ({}, {"iat": now + 3600}, ("clocks", "AUTH_MIDDLEWARE_JWT_LEEWAY_SECONDS")),
        "not yet valid": ({}, {"nbf": now + 600}, ("clocks", "AUTH_MIDDLEWARE_JWT_LEEWAY_SECONDS")),
        "an unknown key": ({"kid": "unknown"}, {}, ("unknown", "AUTH_MIDDLEWARE_JWKS_TABLE")),
        "an access token": ({"typ": "at+jwt"}, {}, ("at+jwt", "/api/auth/token")),
        "the cookie cache": ({"typ": "better-auth.session-cache+jwt"}, {}, ("cookie cache",)),
        "a secret's algorithm": ({"alg": "HS256"}, {}, ("HS256", "EdDSA")),
        "no subject": ({}, {"sub": None}, ("sub is missing",)),
        "an unknown user": ({}, {"sub": "nobody"}, ("no row in the user table", "DATABASE_URL")),
    }


@pytest.fixture(scope="module")
def issuer() -> TokenIssuer:
    return TokenIssuer()


@pytest.mark.parametrize("name", refused_tokens(0))
def test_a_refused_jwt_is_one_line_until_one_was_good(
    make_auth: MakeAuth, database: Database, caplog: pytest.LogCaptureFixture, issuer: TokenIssuer, name: str
) -> None:
    caplog.set_level(logging.INFO, "auth_middleware")
    now = int(time.time())
    header, claims, parts = refused_tokens(now)[name]
    create_keys(database)
    database.execute(f"""INSERT INTO jwks (id, "publicKey", "privateKey") VALUES ('1', '{issuer.public_key}', '')""")
    usual = {"iss": ISSUER, "aud": ISSUER, "exp": now + 900, "iat": now, "sub": database.sign_in().user_id}
    good, bad = issuer.sign([({}, usual), (header, {**usual, **claims})])
    for has_succeeded in (False, True):
        auth = make_auth(credentials="jwt", base_url=ISSUER)
        with TestClient(guarded(auth)) as client:
            if has_succeeded:
                assert client.get("/required", headers=bearer(good)).status_code == 200
            caplog.clear()
            for _ in range(3):
                assert client.get("/required", headers=bearer(bad)).status_code == 401
        [(level, line)] = lines(caplog)
        assert level == (logging.INFO if has_succeeded else logging.WARNING)
        for part in parts:
            assert part in line, line
        assert bad not in line


def test_an_empty_key_table_is_named(
    make_auth: MakeAuth, database: Database, caplog: pytest.LogCaptureFixture, issuer: TokenIssuer
) -> None:
    create_keys(database)
    [token] = issuer.sign([({}, {"iss": ISSUER, "aud": ISSUER, "exp": int(time.time()) + 900, "sub": "1"})])
    with TestClient(guarded(make_auth(credentials="jwt", base_url=ISSUER))) as client:
        assert client.get("/required", headers=bearer(token)).status_code == 401
    [line] = warnings(caplog)
    assert "has no key that can be used" in line
    assert "AUTH_MIDDLEWARE_JWKS_TABLE" in line
