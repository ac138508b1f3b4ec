"""Real Better Auth servers, in each version that is locked below packages/.

with BetterAuthServer(dsn, secret=secret) as server:
    httpx.post(f"{server.url}/api/auth/sign-up/email", json={…})
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TextIO

from dev import node
from dev.processes import ChildProcess, free_port

DIRECTORY = Path(__file__).parent

Version = Literal["1.4.6", "1.6.34", "1.7.25"]
VERSIONS: tuple[Version, ...] = ("1.4.6", "1.6.34", "1.7.25")

Schema = Literal["camel", "snake"]
CookieCache = Literal["off", "compact", "jwt", "jwe"]


def package(version: str) -> Path:
    """The directory of the npm package that locks this version."""
    return DIRECTORY / "packages" / version


class BetterAuthServer:
    """Better Auth on `url` (server.mjs), with sign-up and sign-in by email and password, and without a rate limit.

    `schema`: with "camel", it creates its own tables; "snake" needs the tables of the wheel's migration.
    `base_url` is Better Auth's `baseURL`; an https URL makes its cookies `__Secure-`. Defaults to `url`.
    `jwt` are options of the jwt plugin, and `payload` selects what its tokens claim (see server.mjs); `bearer` and
    `admin` add those plugins. `base_path` replaces /api/auth; `generate_id` is Better Auth's.
    `user_fields` are Better Auth's `user.additionalFields`, such as {"role": {"type": "string", "input": False}}.
    """

    def __init__(
        self,
        dsn: str,
        *,
        secret: str,
        version: Version = "1.7.25",
        schema: Schema = "camel",
        base_url: str | None = None,
        trusted_origins: Sequence[str] = (),
        cookie_cache: CookieCache = "off",
        cookie_cache_max_age_seconds: int = 300,
        expires_in_seconds: int | None = None,
        user_fields: Mapping[str, Mapping[str, object]] | None = None,
        jwt: Mapping[str, object] | None = None,
        payload: str | None = None,
        bearer: bool = False,
        admin: bool = False,
        base_path: str | None = None,
        generate_id: str | None = None,
        log: TextIO | None = None,
    ) -> None:
        self.version = version
        self.port = free_port()
        # A host name, not an address: a cookie set for localhost is not sent to 127.0.0.1.
        self.url = f"http://localhost:{self.port}"
        self.base_url = base_url or self.url
        self._schema = schema
        self._log = log
        self._process: ChildProcess | None = None
        self._environment = {
            "DATABASE_URL": dsn,
            "BETTER_AUTH_SECRET": secret,
            "BETTER_AUTH_URL": self.base_url,
            "SCHEMA": schema,
            "TRUSTED_ORIGINS": ",".join(trusted_origins),
            "COOKIE_CACHE": cookie_cache,
            "COOKIE_CACHE_MAX_AGE": str(cookie_cache_max_age_seconds),
            "USER_FIELDS": json.dumps(user_fields or {}),
            "NODE_ENV": "test",
        }
        optional = {
            "JWT": None if jwt is None else json.dumps(jwt),
            "PAYLOAD": payload,
            "BEARER": "1" if bearer else None,
            "ADMIN": "1" if admin else None,
            "BASE_PATH": base_path,
            "GENERATE_ID": generate_id,
        }
        self._environment.update({name: value for name, value in optional.items() if value is not None})
        if expires_in_seconds is not None:
            self._environment["EXPIRES_IN"] = str(expires_in_seconds)

    def __enter__(self) -> Self:
        package_dir = package(self.version)
        node.install(package_dir)
        migrate = ["--migrate"] if self._schema == "camel" else []
        self._process = ChildProcess(
            f"better-auth {self.version}",
            [node.node(), DIRECTORY / "server.mjs", "--port", str(self.port), *migrate],
            cwd=package_dir,
            env={**node.environment(), **self._environment},
            log=self._log,
        )
        try:
            self._process.wait_for_url(f"http://127.0.0.1:{self.port}/health")
        except BaseException:
            self._process.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process:
            self._process.stop()

    def has_exited(self) -> bool:
        return self._process is None or self._process.has_exited()
