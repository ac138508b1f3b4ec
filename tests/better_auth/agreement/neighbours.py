"""A Better Auth server with a cookie cache, and our settings beside it."""

import asyncio
import secrets
import time
from dataclasses import dataclass
from typing import Any, Protocol

from starlette.requests import HTTPConnection

from auth_middleware import Auth, AuthSettings
from tests.better_auth.agreement.people import PASSWORD
from tests.better_auth.agreement.servers import BetterAuths, Strategy, cookie_header

PATIENCE_SECONDS = 60


@dataclass(frozen=True)
class Neighbour:
    """Better Auth by one strategy, and our settings beside it."""

    servers: BetterAuths
    strategy: Strategy
    dsn: str
    secret: str | None

    def settings(self, **given: Any) -> AuthSettings:
        """Ours, with the cookie cache; keywords override."""
        usual: dict[str, Any] = {"database_url": self.dsn, "secret": self.secret, "base_url": self.servers.url}
        usual |= {"freshness": "cookie_cache", "cache_strategy": self.strategy}
        return AuthSettings(**usual | given)

    def sign_up(self, **fields: object) -> dict[str, str]:
        """What a newcomer's browser has then."""
        email = f"ada-{secrets.token_hex(4)}@example.com"
        body = {"email": email, "password": PASSWORD, "name": "Ada Lovelace", **fields}
        return self.servers.post(self.strategy, "/sign-up/email", body)

    def sign_out(self, jar: dict[str, str]) -> None:
        self.servers.post(self.strategy, "/sign-out", {}, jar)

    def names(self, jar: dict[str, str]) -> str | None:
        """Whom Better Auth's own get-session names: an address."""
        reply = self.servers.get_session(self.strategy, [cookie_header(*jar.items())], "")
        return reply.body["user"]["email"] if reply.body else None

    def renewed(self, jar: dict[str, str]) -> dict[str, str]:
        """The same session with a snapshot of what the rows say now."""
        return {**jar, **self.servers.renewed(self.strategy, cookie_header(*jar.items()))}


class MeetNeighbour(Protocol):
    def __call__(self, strategy: Strategy, /, *, dsn: str | None = None, **options: Any) -> Neighbour: ...


def request(jar: dict[str, str]) -> HTTPConnection:
    """A page's request with these cookies."""
    headers = [(b"cookie", cookie_header(*jar.items()))] if jar else []
    return HTTPConnection({"type": "http", "method": "GET", "headers": headers})


async def until_the_cache_answers(auth: Auth[Any, Any], jar: dict[str, str]) -> None:
    """Keys of the jwks table are read beside the requests. The limit only ends a test that would never end."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    before = auth.counters["cookie_cache"]
    while auth.counters["cookie_cache"] == before:
        assert time.monotonic() < deadline, f"the cache did not answer within {PATIENCE_SECONDS} s"
        await auth.optional_user(request(jar))
        await asyncio.sleep(0.02)
