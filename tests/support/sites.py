"""A site (a real Better Auth server and a FastAPI application on one database), and browsers that visit it."""

import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Any

import httpx
from fastapi import FastAPI

from auth_middleware import Auth, get_auth
from dev.better_auth import BetterAuthServer
from tests.support.applications import TLS, CurrentSession, CurrentUser, OptionalUser
from tests.support.databases import Database

NAME = "Ada Lovelace"
# The fields that are compared, by our names. Better Auth's are in camelCase.
FIELDS = {
    "session": ["id", "user_id", "expires_at", "created_at", "updated_at", "ip_address", "user_agent"],
    "user": ["id", "name", "email", "email_verified", "image", "created_at", "updated_at"],
}


class Site:
    """A Better Auth server and our application on one database."""

    def __init__(self, server: BetterAuthServer, api_url: str, database: Database, *, is_snake: bool) -> None:
        self.auth_url = server.url
        # The same host name as Better Auth's, because cookies are scoped to a host and not to a port.
        self.api_url = api_url.replace("127.0.0.1", "localhost")
        self.database = database
        self.is_snake = is_snake

    def column(self, name: str) -> str:
        """The quoted name of a column in this site's schema, given its name in snake_case."""
        return f'"{name if self.is_snake else camel(name)}"'


class Browser:
    """An HTTP client with a cookie jar, which visits both servers."""

    def __init__(self, site: Site) -> None:
        self.site = site
        # Browsers send Origin, and Better Auth refuses POST requests with cookies but without an origin.
        self.client = httpx.Client(trust_env=False, verify=TLS, headers={"Origin": site.auth_url}, timeout=30)
        self.account = {"email": f"ada-{secrets.token_hex(6)}@example.com", "password": secrets.token_urlsafe(16)}

    def post(self, path: str, **body: Any) -> httpx.Response:
        return self.client.post(f"{self.site.auth_url}/api/auth{path}", json=body)

    def sign_up(self, **more: Any) -> None:
        self.post("/sign-up/email", name=NAME, **self.account, **more).raise_for_status()

    def sign_in(self, **more: Any) -> None:
        self.post("/sign-in/email", **self.account, **more).raise_for_status()

    def sign_out(self) -> None:
        self.post("/sign-out").raise_for_status()

    def theirs(self, *, from_cache: bool = False) -> dict[str, Any] | None:
        """The result of Better Auth's get-session: {"session", "user"} or None."""
        url = f"{self.site.auth_url}/api/auth/get-session"
        response = self.client.get(url, params=None if from_cache else {"disableCookieCache": "true"})
        return response.raise_for_status().json()

    def ours(self) -> dict[str, Any] | None:
        """The result of our application, in the same shape."""
        response = self.client.get(f"{self.site.api_url}/who")
        assert response.status_code in (200, 401), response.text
        return response.json() if response.status_code == 200 else None

    def agreed(self) -> dict[str, Any] | None:
        """Checks that both results are equal, and returns ours."""
        theirs, ours = comparable(self.theirs(), camel), comparable(self.ours(), str)
        assert ours == theirs
        return ours

    def assert_signed_out(self) -> None:
        """Checks our result before and after Better Auth's, because Better Auth deletes expired rows."""
        assert self.ours() is None
        assert self.agreed() is None
        assert self.client.get(f"{self.site.api_url}/optional").json() is None


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)


def comparable(result: dict[str, Any] | None, spelling: Callable[[str], str]) -> dict[str, Any] | None:
    if result is None:
        return None
    return {
        kind: {name: parsed(name, result[kind][spelling(name)]) for name in names} for kind, names in FIELDS.items()
    }


def parsed(name: str, value: Any) -> Any:
    return datetime.fromisoformat(value) if name.endswith("_at") else value


def application(auth: Auth) -> FastAPI:
    app = FastAPI(lifespan=auth.lifespan)
    app.dependency_overrides[get_auth] = lambda: auth

    @app.get("/who")
    async def who(user: CurrentUser, session: CurrentSession) -> dict[str, Any]:
        return {"user": user.model_dump(), "session": session.model_dump()}

    @app.get("/optional")
    async def optional(user: OptionalUser) -> str | None:
        return user.id if user else None

    return app


OpenSite = Callable[..., Site]
Browse = Callable[[Site], Browser]
