"""A Better Auth server with a cookie cache, and matching settings for us."""

import asyncio
import secrets
import time
from dataclasses import dataclass
from typing import Any, Protocol

from starlette.requests import HTTPConnection

from auth_middleware import Auth, AuthSettings
from dev.better_auth.strategies import Strategy, StrategyServers, cookie_header
from tests.better_auth.agreement.users import PASSWORD

TIMEOUT_SECONDS = 60


@dataclass(frozen=True)
class BetterAuth:
    """Better Auth with one strategy of the cookie cache."""

    servers: StrategyServers
    strategy: Strategy
    dsn: str
    secret: str | None

    def settings(self, **given: Any) -> AuthSettings:
        """Settings for us, with the cookie cache. Keyword arguments override them."""
        defaults: dict[str, Any] = {"database_url": self.dsn, "secret": self.secret, "base_url": self.servers.url}
        defaults |= {"freshness": "cookie_cache", "cache_strategy": self.strategy}
        return AuthSettings(**defaults | given)

    def sign_up(self, **fields: object) -> dict[str, str]:
        """Signs up a new user and returns the browser's cookies."""
        email = f"ada-{secrets.token_hex(4)}@example.com"
        body = {"email": email, "password": PASSWORD, "name": "Ada Lovelace", **fields}
        return self.servers.post(self.strategy, "/sign-up/email", body)

    def sign_out(self, jar: dict[str, str]) -> None:
        self.servers.post(self.strategy, "/sign-out", {}, jar)

    def email_of(self, jar: dict[str, str]) -> str | None:
        """The email of the user that Better Auth's get-session returns."""
        reply = self.servers.get_session(self.strategy, [cookie_header(*jar.items())], "")
        return reply.body["user"]["email"] if reply.body else None

    def refreshed(self, jar: dict[str, str]) -> dict[str, str]:
        """The same session with session_data from the current rows."""
        return {**jar, **self.servers.refreshed_cookies(self.strategy, cookie_header(*jar.items()))}


class StartBetterAuth(Protocol):
    def __call__(self, strategy: Strategy, /, *, dsn: str | None = None, **options: Any) -> BetterAuth: ...


def request(jar: dict[str, str]) -> HTTPConnection:
    """A request with these cookies."""
    headers = [(b"cookie", cookie_header(*jar.items()))] if jar else []
    return HTTPConnection({"type": "http", "method": "GET", "headers": headers})


async def until_the_cache_is_used(auth: Auth[Any, Any], jar: dict[str, str]) -> None:
    """Sends requests until the cookie cache is used: the keys of the jwks table are read in the background.

    The timeout only ends a test that would hang.
    """
    deadline = time.monotonic() + TIMEOUT_SECONDS
    before = auth.counters["cookie_cache"]
    while auth.counters["cookie_cache"] == before:
        assert time.monotonic() < deadline, f"the cookie cache was not used within {TIMEOUT_SECONDS} s"
        await auth.optional_user(request(jar))
        await asyncio.sleep(0.02)
