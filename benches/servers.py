"""The applications under uvicorn: a process each, one worker, uvloop and httptools."""

import itertools
import sys
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from types import TracebackType
from typing import Self

import httpx

from benches import credentials
from benches.credentials import Headers
from benches.stage import Stage
from dev.processes import ChildProcess, free_port
from tests.support.cookies import SECRET
from tests.support.environment import without_our_settings

# By what they can do with a request: nothing, or name its sender.
OPEN = ("bare", "nothing", "nothing_long")
FRESHNESS = {"always": "always", "live": "live", "cookie_cache": "cookie_cache", "seconds": "60"}
# Those that are no module's of their own.
MODULES = {**dict.fromkeys(FRESHNESS, "ours"), "nothing_long": "nothing"}


class Server:
    """One contender; `headers` are what its users show."""

    def __init__(self, contender: str, stage: Stage, headers: Headers, dsn: str | None = None) -> None:
        self.contender = contender
        self.headers = headers
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/me"
        app = f"benches.applications.{MODULES.get(contender, contender)}:application"
        options = ["--factory", "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
        self.command = [sys.executable, "-m", "uvicorn", app, *options, "--port", str(self.port)]
        self.environment = environment(contender, stage, dsn or stage.dsn)

    def __enter__(self) -> Self:
        self._process = ChildProcess(self.contender, self.command, env=self.environment)
        try:
            self._process.wait_until(self._answers)
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
        """Does it name the right people, and nobody for a credential that nobody signed?"""
        if self.contender in OPEN:
            return
        with httpx.Client(trust_env=False) as client:
            for name, line in itertools.islice(self.headers.items(), number):
                field, _, value = line.partition(": ")
                response = client.get(self.url, headers={field: value})
                answer = response.status_code, response.json()
                assert answer == (HTTPStatus.OK, {"name": name}), f"{self.contender}: {name} was answered {answer}"
            field, _, value = credentials.forge(next(iter(self.headers.values())).split("; ")[0]).partition(": ")
            for headers in ({}, {field: value}):
                status = HTTPStatus(client.get(self.url, headers=headers).status_code)
                assert status == HTTPStatus.UNAUTHORIZED, f"{self.contender}: a forged request was let in"

    def _answers(self) -> bool:
        with suppress(httpx.TransportError):
            return bool(httpx.get(self.url, trust_env=False).status_code)
        return False


def environment(contender: str, stage: Stage, dsn: str) -> Mapping[str, str]:
    freshness = FRESHNESS.get(contender)
    return {
        **without_our_settings(),
        # PyJWT asks by urllib, which would go through the machine's proxy.
        "NO_PROXY": "*",
        "DATABASE_URL": dsn,
        "BETTER_AUTH_SECRET": SECRET,
        "BETTER_AUTH_URL": stage.better_auth.base_url,
        "GET_SESSION_URL": f"{stage.better_auth.url}/api/auth/get-session",
        "JWKS_URL": f"{stage.issuers.url}/jwks/api/auth/jwks",
        "ISSUER_URL": stage.issuers.url,
        **({"AUTH_MIDDLEWARE_FRESHNESS": freshness} if freshness else {}),
    }
