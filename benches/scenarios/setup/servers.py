"""The contenders' applications under uvicorn: one process each, with one worker, uvloop and httptools."""

import itertools
import sys
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from types import TracebackType
from typing import Self

import httpx

from benches.scenarios.setup import credentials
from benches.scenarios.setup.credentials import Headers
from benches.scenarios.setup.environment import Environment
from dev.cookies import SECRET
from dev.environment import without_our_settings
from dev.processes import ChildProcess, free_port

# Contenders that protect nothing.
UNPROTECTED = ("no_dependency", "empty_dependency", "empty_dependency_session_data", "empty_dependency_jwt")
FRESHNESS = {"always": "always", "live": "live", "cookie_cache": "cookie_cache", "seconds": "60"}
JWT_FRESHNESS = {"jwt_claims": "claims", "jwt_always": "always"}
# Contenders that share a module with another one.
MODULES = {
    **dict.fromkeys([*FRESHNESS, *JWT_FRESHNESS], "ours"),
    **dict.fromkeys(UNPROTECTED[1:], "empty_dependency"),
}


class Server:
    """One contender. `headers` are its users' credentials."""

    def __init__(self, contender: str, env: Environment, headers: Headers, dsn: str | None = None) -> None:
        self.contender = contender
        self.headers = headers
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/me"
        app = f"benches.contenders.applications.{MODULES.get(contender, contender)}:application"
        options = ["--factory", "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
        self.command = [sys.executable, "-m", "uvicorn", app, *options, "--port", str(self.port)]
        self.environment = environment(contender, env, dsn or env.dsn)

    def __enter__(self) -> Self:
        self._process = ChildProcess(self.contender, self.command, env=self.environment)
        try:
            self._process.wait_until(self._responds)
        except BaseException:
            self._process.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.stop()

    @property
    def pid(self) -> int:
        return self._process.pid

    def check(self, number: int = 200) -> None:
        """Checks that it identifies each user, and refuses a missing and a forged credential."""
        if self.contender in UNPROTECTED:
            return
        with httpx.Client(trust_env=False) as client:
            for name, line in itertools.islice(self.headers.items(), number):
                field, _, value = line.partition(": ")
                response = client.get(self.url, headers={field: value})
                received = response.status_code, response.json()
                assert received == (HTTPStatus.OK, {"name": name}), f"{self.contender}: {name} got {received}"
            field, _, value = credentials.forge(next(iter(self.headers.values())).split("; ")[0]).partition(": ")
            for headers in ({}, {field: value}):
                status = HTTPStatus(client.get(self.url, headers=headers).status_code)
                assert status == HTTPStatus.UNAUTHORIZED, f"{self.contender}: accepted a forged or missing credential"

    def _responds(self) -> bool:
        with suppress(httpx.TransportError):
            return bool(httpx.get(self.url, trust_env=False).status_code)
        return False


def environment(contender: str, env: Environment, dsn: str) -> Mapping[str, str]:
    freshness = FRESHNESS.get(contender)
    jwt_freshness = JWT_FRESHNESS.get(contender)
    return {
        **without_our_settings(),
        # PyJWT uses urllib, which would use the machine's proxy.
        "NO_PROXY": "*",
        "DATABASE_URL": dsn,
        "BETTER_AUTH_SECRET": SECRET,
        "BETTER_AUTH_URL": env.better_auth.base_url,
        "GET_SESSION_URL": f"{env.better_auth.url}/api/auth/get-session",
        "JWKS_URL": f"{env.strategies.url}/jwks/api/auth/jwks",
        "ISSUER_URL": env.strategies.url,
        **({"AUTH_MIDDLEWARE_FRESHNESS": freshness} if freshness else {}),
        **(for_jwts(env, jwt_freshness) if jwt_freshness else {}),
    }


def for_jwts(env: Environment, freshness: str) -> Mapping[str, str]:
    """What auth_middleware needs for JWTs. An empty variable counts as not set."""
    without_database = {"DATABASE_URL": "", "BETTER_AUTH_SECRET": ""}
    return {
        **(without_database if freshness == "claims" else {}),
        "AUTH_MIDDLEWARE_CREDENTIALS": "jwt",
        "AUTH_MIDDLEWARE_JWT_FRESHNESS": freshness,
        "AUTH_MIDDLEWARE_JWKS_URL": f"{env.strategies.url}/jwks/api/auth/jwks",
        "AUTH_MIDDLEWARE_JWT_ISSUER": env.strategies.url,
        "AUTH_MIDDLEWARE_JWT_AUDIENCE": env.strategies.url,
    }
