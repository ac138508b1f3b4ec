"""An application that used a hand-written module, with a real Better Auth server and both names of the cookie."""

import secrets
from collections.abc import Generator
from typing import NamedTuple

import httpx
import pytest

from dev.better_auth import BetterAuthServer
from dev.postgres import EmbeddedPostgres
from tests.support.applications import TLS, connect_websocket
from tests.support.hand_written import hand_written

SCHEMES = {"http": "better-auth.session_token", "https": "__Secure-better-auth.session_token"}


class Pair(NamedTuple):
    server: BetterAuthServer
    api_url: str
    scheme: str


@pytest.fixture(params=SCHEMES)
def pair(request: pytest.FixtureRequest, postgres: EmbeddedPostgres) -> Generator[Pair]:
    dsn, secret = postgres.create_database(f"pair_{request.param}"), secrets.token_urlsafe(32)
    with BetterAuthServer(dsn, secret=secret, base_url=f"{request.param}://auth.test") as server:
        # The variable name that the auth-service uses.
        settings = {"DATABASE_URL": dsn, "BETTER_AUTH_SECRET": secret, "AUTH_BASE_URL": server.base_url}
        with hand_written(settings) as api_url:
            yield Pair(server, api_url, request.param)


def test_a_new_user_is_recognised_until_signing_out(pair: Pair) -> None:
    auth_url, api_url = f"{pair.server.url}/api/auth", pair.api_url
    # Sends the cookie explicitly, because a client would not send a secure one over plain http.
    origin = {"Origin": pair.server.base_url}
    account = {"name": "Ada", "email": "ada@example.com", "password": secrets.token_urlsafe(16)}
    signed_up = httpx.post(f"{auth_url}/sign-up/email", json=account, headers=origin, trust_env=False, verify=TLS)
    user_id = signed_up.raise_for_status().json()["user"]["id"]
    cookies = [header.partition(";")[0] for header in signed_up.headers.get_list("set-cookie")]
    [cookie] = [cookie for cookie in cookies if cookie.startswith(f"{SCHEMES[pair.scheme]}=")]
    signed_in = {"Cookie": cookie}

    def get(path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        return httpx.get(api_url + path, headers=headers, trust_env=False, verify=TLS)

    assert get("/health").json() == {"cookie": SCHEMES[pair.scheme]}
    for path in ("/api/me", "/api/awaited"):
        assert get(path, signed_in).json()["user"]["email"] == "ada@example.com"
        assert get(path).status_code == 401
    assert get("/api/greeting", signed_in).json() == {"hello": "Ada"}
    assert get("/api/greeting").json() == {"hello": "stranger"}
    assert get("/api/chained", signed_in).json()["user"] == user_id
    websocket = api_url + "/ws"
    assert connect_websocket(websocket, signed_in).body == {"user": user_id}
    httpx.post(
        f"{auth_url}/sign-out", json={}, headers=signed_in | origin, trust_env=False, verify=TLS
    ).raise_for_status()
    assert get("/api/me", signed_in).status_code == 401
    assert get("/api/greeting", signed_in).json() == {"hello": "stranger"}
    assert get("/api/chained", signed_in).json() == {"detail": "no session"}
