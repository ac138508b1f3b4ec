"""Which pages may send a user's cookie with unsafe methods and WebSocket handshakes, over real HTTP."""

import logging
from collections.abc import Generator

import pytest
from starlette.testclient import TestClient

from auth_middleware import Auth, ConfigurationError
from dev.cookies import SECURE_COOKIE_NAME, cookie
from tests.support.applications import Headers, Send, guarded, send_in_process, send_over_sockets
from tests.support.databases import Database, SignedIn
from tests.support.instances import MakeAuth
from tests.support.servers import serving

UNSAFE = ["POST", "PUT", "PATCH", "DELETE", "WS"]
SAFE = ["GET", "HEAD", "OPTIONS"]


@pytest.fixture
def url(auth: Auth) -> Generator[str]:
    with serving(guarded(auth)) as url:
        yield url


@pytest.fixture
def who(database: Database) -> SignedIn:
    return database.sign_in()


def foreign(host: str) -> dict[str, list[tuple[str, str]]]:
    """Headers that a browser on another site could send, or a client that imitates one."""
    return {
        "another site": [("Origin", "https://evil.example")],
        "an opaque origin": [("Origin", "null")],
        "an empty one": [("Origin", "")],
        "another port": [("Origin", "http://auth.test:8080")],
        "another scheme": [("Origin", "https://auth.test")],
        "another port of the API's host": [("Origin", f"http://{host.partition(':')[0]}:1")],
        "another case": [("Origin", "HTTP://AUTH.TEST")],
        "userinfo": [("Origin", "http://auth.test@evil.example")],
        "userinfo before ours": [("Origin", "http://evil.example@auth.test")],
        "a look-alike suffix": [("Origin", "http://auth.test.evil.example")],
        "a look-alike prefix": [("Origin", "http://notauth.test")],
        "a path": [("Origin", "http://auth.test/")],
        "a forwarded host": [("Origin", "https://evil.example"), ("X-Forwarded-Host", "evil.example")],
        "a forwarded one": [("Origin", "https://evil.example"), ("Forwarded", "host=evil.example;proto=https")],
        "no origin, another site": [("Sec-Fetch-Site", "cross-site")],
        "no origin, a sibling": [("Sec-Fetch-Site", "same-site")],
        "a sibling": [("Origin", "http://evil.auth.test"), ("Sec-Fetch-Site", "same-site")],
    }


def ours(host: str) -> dict[str, list[tuple[str, str]]]:
    """Headers that trusted pages send, and clients that are not browsers."""
    return {
        "the base URL's": [("Origin", "http://auth.test")],
        "a trusted one": [("Origin", "http://page.test"), ("Sec-Fetch-Site", "cross-site")],
        "the API's own": [("Origin", f"http://{host}")],
        "the same origin behind a proxy": [("Origin", "https://api.test"), ("Sec-Fetch-Site", "same-origin")],
        "the address bar": [("Sec-Fetch-Site", "none")],
        "no browser": [],
    }


def statuses(
    send: Send, methods: list[str], cookie: Headers, cases: dict[str, list[tuple[str, str]]]
) -> dict[str, set[int]]:
    cookies = list(dict(cookie).items())
    return {
        name: {send(method, "/optional", cookies + sent).status for method in methods} for name, sent in cases.items()
    }


def test_a_foreign_page_is_refused_on_every_unsafe_method_and_in_handshakes(url: str, who: SignedIn) -> None:
    cases = foreign(url.removeprefix("http://"))
    assert statuses(send_over_sockets(url), UNSAFE, who.headers, cases) == {name: {403} for name in cases}


@pytest.mark.parametrize("second", ["http://auth.test", "https://evil.example"])
def test_several_origin_headers_are_always_refused(auth: Auth, who: SignedIn, second: str) -> None:
    # This test runs in process, because uvicorn refuses such a handshake itself.
    headers = [*who.headers.items(), ("Origin", "http://auth.test"), ("Origin", second)]
    with TestClient(guarded(auth)) as client:
        assert send_in_process(client)("POST", "/required", headers).status == 403
        assert send_in_process(client)("WS", "/required", headers).status == 403
        assert send_in_process(client)("GET", "/required", headers).status == 200


def test_a_foreign_page_may_send_get_requests(url: str, who: SignedIn) -> None:
    cases = foreign(url.removeprefix("http://"))
    assert statuses(send_over_sockets(url), SAFE, who.headers, cases) == {name: {200} for name in cases}


def test_trusted_pages_and_other_clients_may_use_every_method(url: str, who: SignedIn) -> None:
    cases = ours(url.removeprefix("http://"))
    send = send_over_sockets(url)
    assert statuses(send, ["POST", "DELETE"], who.headers, cases) == {name: {200} for name in cases}
    assert statuses(send, ["WS"], who.headers, cases) == {name: {101} for name in cases}


def test_a_foreign_page_without_the_cookie_is_anonymous_and_not_forbidden(url: str) -> None:
    send = send_over_sockets(url)
    hostile = {"Origin": "https://evil.example"}
    assert send("POST", "/required", hostile).status == 401
    assert send("POST", "/optional", hostile).body is None
    assert send("WS", "/required", hostile).status == 401


def test_a_foreign_page_is_forbidden_even_with_an_invalid_cookie(url: str, who: SignedIn) -> None:
    forged = cookie(who.token, secret=who.token * 2) | {"Origin": "https://evil.example"}
    assert send_over_sockets(url)("POST", "/required", forged).status == 403


def test_an_http_page_of_the_same_host_may_not_send_a_secure_cookie(make_auth: MakeAuth, who: SignedIn) -> None:
    with serving(guarded(make_auth(base_url="https://auth.test"))) as url:
        send, host = send_over_sockets(url), url.removeprefix("http://")
        cookies = cookie(who.token, name=SECURE_COOKIE_NAME)
        for method, good in (("POST", 200), ("WS", 101)):
            assert send(method, "/required", cookies | {"Origin": f"http://{host}"}).status == 403
            assert send(method, "/required", cookies | {"Origin": "http://auth.test"}).status == 403
            assert send(method, "/required", cookies | {"Origin": f"https://{host}"}).status == good
            assert send(method, "/required", cookies | {"Origin": "https://auth.test"}).status == good


@pytest.mark.parametrize(
    ("pattern", "spelling"),
    [
        ("http://localhost*", "http://localhost:*"),
        ("https://*example.com", "https://*.example.com"),
        ("*.example.com", "https://*.example.com"),
        ("chrome-extension://", "chrome-extension://<its id>"),
    ],
)
def test_a_pattern_that_a_stranger_can_match_is_refused_at_start(
    make_auth: MakeAuth, pattern: str, spelling: str
) -> None:
    with pytest.raises(ConfigurationError) as raised:
        make_auth(base_url="https://auth.test", trusted_origins=("https://app.test", pattern))
    assert f'holds "{pattern}"' in str(raised.value)
    assert f'"{spelling}"' in str(raised.value)


async def test_a_pattern_that_trusts_other_customers_of_a_host_is_a_warning(
    make_auth: MakeAuth, who: SignedIn, caplog: pytest.LogCaptureFixture
) -> None:
    auth = make_auth(trusted_origins=("https://*.vercel.app",))
    await auth.open()
    assert await auth.validate_session(who.cookie_value)
    [warning] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "everybody who deploys there is trusted" in warning.getMessage()


def test_a_cookie_with_the_other_name_is_ignored(make_auth: MakeAuth, who: SignedIn) -> None:
    with serving(guarded(make_auth(base_url="https://auth.test"))) as url:
        planted = send_over_sockets(url)("GET", "/required", who.headers)
        assert (planted.status, planted.body) == (401, {"detail": "Not authenticated"})


def test_the_first_of_two_cookies_with_one_name_wins(url: str, who: SignedIn, database: Database) -> None:
    second = database.sign_in()
    send = send_over_sockets(url)
    both = f"{who.headers['Cookie']}; {second.headers['Cookie']}"
    assert send("GET", "/required", {"Cookie": both}).body == who.user_id
    spoiled = f"{who.headers['Cookie']}x; {second.headers['Cookie']}"
    assert send("GET", "/required", {"Cookie": spoiled}).status == 401
