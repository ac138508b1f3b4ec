"""Cookies belong to a host, not to a port. The log explains it when a request uses another name of this machine."""

import logging

import pytest
from starlette.requests import HTTPConnection

from auth_middleware import Auth, AuthSettings

HINT = "cookies belong to a host, not to a port"


@pytest.fixture
def auth() -> Auth:
    # The database need not exist: a request without a cookie never queries it.
    return Auth(
        AuthSettings(
            database_url="postgresql://nobody@127.0.0.1:1/none",
            secret="s" * 32,
            base_url="http://localhost:9404",
            trusted_origins="http://localhost:5175",
        )
    )


def from_browser(host: str, origin: str | None = None, kind: str = "http") -> HTTPConnection:
    headers = [(b"host", host.encode())]
    if origin:
        headers.append((b"origin", origin.encode()))
    scope: dict[str, object] = {"type": kind, "headers": headers}
    return HTTPConnection({**scope, "method": "GET"} if kind == "http" else scope)


def hints(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if HINT in record.getMessage()]


async def test_a_request_under_another_name_of_this_machine_is_explained_once(
    auth: Auth, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        assert await auth.optional_user(from_browser("127.0.0.1:9403", "http://localhost:5175")) is None
    assert await auth.optional_user(from_browser("[::1]:9403")) is None
    [hint] = hints(caplog)
    assert "127.0.0.1 instead of localhost" in hint
    assert caplog.records[-1].levelno <= logging.WARNING
    assert auth.counters["no_cookie"] == 4


async def test_a_websocket_opened_by_a_page_under_another_name_is_explained(
    auth: Auth, caplog: pytest.LogCaptureFixture
) -> None:
    await auth.optional_user(from_browser("localhost:9403", "http://127.0.0.1:5175", kind="websocket"))
    assert len(hints(caplog)) == 1


async def test_an_anonymous_request_under_the_right_name_is_not_explained(
    auth: Auth, caplog: pytest.LogCaptureFixture
) -> None:
    await auth.optional_user(from_browser("localhost:9403", "http://localhost:5175"))
    await auth.optional_user(from_browser("api.example.com", "https://example.com"))
    assert hints(caplog) == []


async def test_a_request_with_a_cookie_is_not_explained(auth: Auth, caplog: pytest.LogCaptureFixture) -> None:
    headers = [(b"host", b"127.0.0.1:9403"), (b"cookie", b"better-auth.session_token=forged.signature")]
    await auth.optional_user(HTTPConnection({"type": "http", "method": "GET", "headers": headers}))
    assert hints(caplog) == []
