"""Better Auth with every strategy of the cookie cache."""

import http.client
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from http.cookies import SimpleCookie
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeAlias

from dev import node
from dev.better_auth import DIRECTORY
from dev.processes import ChildProcess, free_port

Strategy: TypeAlias = str
TOKEN, DATA, DONT_REMEMBER = "better-auth.session_token", "better-auth.session_data", "better-auth.dont_remember"
# Query parameters of get-session.
SKIP_CACHE, SKIP_CACHE_AND_REFRESH = "?disableCookieCache=true", "?disableCookieCache=true&disableRefresh=true"
# A profile of 8 KiB makes Cookie headers larger than Node's default limit.
MAX_HEADER_BYTES = 1 << 18


class Reply(NamedTuple):
    """The response of get-session. `body` is None without a session."""

    status: int
    body: dict[str, Any] | None


class StrategyServers:
    """One server for each strategy, on one port and one database (strategy_server.mjs).

    `package_dir` is where better-auth is installed. `secrets` is the value of BETTER_AUTH_SECRETS, instead of `secret`.
    `is_admin` adds the admin plugin, with bans.
    """

    def __init__(
        self,
        package_dir: Path,
        dsn: str,
        *,
        strategies: Sequence[Strategy],
        secret: str | None = None,
        secrets: str | None = None,
        user_fields: Mapping[str, object] | None = None,
        session_fields: Mapping[str, object] | None = None,
        cache_seconds: int = 300,
        is_admin: bool = False,
    ) -> None:
        self.port = free_port()
        self.url = f"http://localhost:{self.port}"
        self._package_dir = package_dir
        given = {"BETTER_AUTH_SECRET": secret, "BETTER_AUTH_SECRETS": secrets, "ADMIN": "1" if is_admin else None}
        self._environment = {
            **{name: value for name, value in given.items() if value},
            "DATABASE_URL": dsn,
            "STRATEGIES": ",".join(strategies),
            "USER_FIELDS": json.dumps(user_fields or {}),
            "SESSION_FIELDS": json.dumps(session_fields or {}),
            "COOKIE_CACHE_MAX_AGE": str(cache_seconds),
            "NODE_ENV": "test",
        }

    def __enter__(self) -> Self:
        script = DIRECTORY / "strategy_server.mjs"
        self._process = ChildProcess(
            f"better-auth in {self._package_dir.name}",
            [node.node(), f"--max-http-header-size={MAX_HEADER_BYTES}", script, "--port", str(self.port)],
            cwd=self._package_dir,
            env={**node.environment(), **self._environment},
        )
        try:
            self._process.wait_for_url(f"http://127.0.0.1:{self.port}/health")
        except BaseException:
            self._process.stop()
            raise
        self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()
        self._process.stop()

    def set_clock(self, seconds: float) -> None:
        """Moves Better Auth's clock by this many seconds relative to the real one."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            connection.request("POST", "/clock", str(int(seconds * 1000)))
            assert connection.getresponse().status == http.HTTPStatus.OK

    def post(
        self, strategy: Strategy, path: str, body: Mapping[str, object], jar: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """Sends a POST request and returns the cookies of the response, percent-encoded as a browser sends them."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            content = json.dumps(body)
            headers = {"Content-Type": "application/json", "Origin": self.url}
            if jar:
                headers["Cookie"] = cookie_header(*jar.items()).decode("latin-1")
            connection.request("POST", f"/{strategy}/api/auth{path}", content, headers)
            response = connection.getresponse()
            text = response.read().decode()
            assert response.status == http.HTTPStatus.OK, f"{path}: {response.status} {text}"
            return _cookies(response.headers.get_all("Set-Cookie", []))

    def get_session(self, strategy: Strategy, cookie_headers: Sequence[bytes], query: str) -> Reply:
        response, content = self._request(strategy, cookie_headers, query)
        return Reply(response.status, json.loads(content) if response.status == http.HTTPStatus.OK else None)

    def refreshed_cookies(self, strategy: Strategy, cookie_header: bytes) -> dict[str, str]:
        """The cookies that get-session sets after reading the rows."""
        response, _ = self._request(strategy, [cookie_header], SKIP_CACHE)
        return _cookies(response.headers.get_all("Set-Cookie", []))

    def _request(
        self, strategy: Strategy, cookie_headers: Sequence[bytes], query: str
    ) -> tuple[http.client.HTTPResponse, bytes]:
        self._connection.putrequest("GET", f"/{strategy}/api/auth/get-session{query}")
        for value in cookie_headers:
            self._connection.putheader("Cookie", value)
        self._connection.endheaders()
        response = self._connection.getresponse()
        return response, response.read()


def cookie_header(*pairs: tuple[str, str], separator: str = "; ") -> bytes:
    """The value of a Cookie header."""
    return separator.join(f"{name}={value}" for name, value in pairs).encode("latin-1", "replace")


def cookies_of(headers: Sequence[bytes]) -> Iterator[tuple[str, str]]:
    """The names and values in these headers, not decoded."""
    for header in headers:
        for pair in header.decode("latin-1").split(";"):
            name, _, value = pair.partition("=")
            yield name.strip(), value.strip()


def _cookies(set_cookies: Sequence[str]) -> dict[str, str]:
    jar: dict[str, str] = {}
    for set_cookie in set_cookies:
        parsed = SimpleCookie(set_cookie)
        for name, morsel in parsed.items():
            if morsel.coded_value:
                jar[name] = morsel.coded_value
    return jar
