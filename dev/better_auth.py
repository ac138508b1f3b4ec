"""A real Better Auth server of a chosen version, for tests.

    with BetterAuthServer(dsn, secret=secret) as server:
        httpx.post(f"{server.url}/api/auth/sign-up/email", json={…})

The server itself is tests/better_auth/better_auth_server.mjs.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TextIO

from dev import node
from dev.processes import ChildProcess, free_port

END_TO_END = Path(__file__).parent.parent / "tests" / "better_auth"

Version = Literal["1.4.6", "1.6.34", "1.7.25"]
VERSIONS: tuple[Version, ...] = ("1.4.6", "1.6.34", "1.7.25")

Schema = Literal["camel", "snake"]
CookieCache = Literal["off", "compact", "jwt", "jwe"]


class BetterAuthServer:
    """Better Auth on `url`; sign-up and sign-in by email and password, no rate limit.

    schema "camel": it makes its own tables in the database. "snake": the tables of the wheel's migration must be there.
    `base_url` is what Better Auth believes to be; an https one makes its cookies `__Secure-`. Default: `url`.
    `jwt` are options of the jwt plugin, and `payload` names what its tokens claim (in the server's file); `bearer` and
    `admin` add those plugins. `base_path` is where it answers instead of /api/auth; `generate_id` as at Better Auth.
    `user_fields` are Better Auth's `user.additionalFields`, as {"role": {"type": "string", "input": False}}.
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
        # By name, not by address: a cookie set for localhost is not sent to 127.0.0.1.
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
        package_dir = END_TO_END / f"better_auth_{self.version.replace('.', '_')}"
        node.install(package_dir)
        migrate = ["--migrate"] if self._schema == "camel" else []
        self._process = ChildProcess(
            f"better-auth {self.version}",
            [node.node(), END_TO_END / "better_auth_server.mjs", "--port", str(self.port), *migrate],
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
