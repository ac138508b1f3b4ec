"""Better Auth servers that issue JWTs and bearer tokens, and who is signed in there."""

import secrets
from collections.abc import Callable
from typing import Any, NamedTuple

import httpx
from starlette.requests import HTTPConnection

from auth_middleware import Auth, AuthSettings
from dev.better_auth import BetterAuthServer

TOKEN = "better-auth.session_token"
PLUGINS: dict[str, Any] = {"jwt": {}, "bearer": True, "admin": True}


class Person(NamedTuple):
    """What somebody who is signed in can present."""

    id: str
    email: str
    cookie: str
    bearer: str
    jwt: str

    @property
    def headers(self) -> dict[str, dict[str, str]]:
        return {
            "cookie": {"Cookie": f"{TOKEN}={self.cookie}"},
            "bearer": {"Authorization": f"Bearer {self.bearer}"},
            "jwt": {"Authorization": f"Bearer {self.jwt}"},
        }


class Issuer(NamedTuple):
    """A Better Auth server and its database."""

    server: BetterAuthServer
    dsn: str
    secret: str

    @property
    def api(self) -> str:
        return f"{self.server.url}/api/auth"

    def sign_up(self, name: str = "Ada") -> Person:
        account = {"email": f"{secrets.token_hex(6)}@example.com", "password": secrets.token_urlsafe(16)}
        with httpx.Client(trust_env=False, headers={"Origin": self.server.url}, timeout=60) as client:
            answer = client.post(f"{self.api}/sign-up/email", json={"name": name, **account}).raise_for_status()
            jwt = client.get(f"{self.api}/token").raise_for_status().json()["token"]
            bearer = answer.headers["set-auth-token"]
            return Person(answer.json()["user"]["id"], account["email"], client.cookies[TOKEN], bearer, jwt)

    def new_token(self, person: Person) -> str:
        with httpx.Client(trust_env=False, timeout=60) as client:
            headers = {**person.headers["cookie"], "Origin": self.server.url}
            return client.get(f"{self.api}/token", headers=headers).raise_for_status().json()["token"]

    def auth(self, **settings: Any) -> Auth:
        usual: dict[str, Any] = {
            "database_url": self.dsn,
            "secret": self.secret,
            "base_url": self.server.base_url,
            "credentials": "cookie,bearer,jwt",
        }
        return Auth(AuthSettings(**{**usual, **settings}))

    def without_database(self, **settings: Any) -> Auth:
        usual: dict[str, Any] = {"base_url": self.server.base_url, "credentials": "jwt"}
        return Auth(AuthSettings(**{**usual, **settings}))


OpenIssuer = Callable[..., Issuer]


def connection(headers: dict[str, str]) -> Any:
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    return HTTPConnection({"type": "http", "method": "GET", "headers": raw})
