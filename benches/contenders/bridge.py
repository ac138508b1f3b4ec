"""fastapi-better-auth-bridge in its mode A: the signed cookie, with the database through SQLAlchemy and asyncpg.

Its pool has as many connections as the hand-written middleware's, all of them persistent. With SQLAlchemy's default
(5 connections, and 10 more that are closed after each use) it is slower from 8 concurrent lookups on.
"""

from importlib import import_module
from typing import Any

from starlette.requests import HTTPConnection

from benches.contenders.hand_written import POOL_SIZE
from dev.cookies import COOKIE_NAME

# Installed by `make bench` only.
package: Any = import_module("fastapi_better_auth")
sqlalchemy: Any = import_module("sqlalchemy.ext.asyncio")


class Bridge:
    """`dependency` is what a route declares; it calls `extract`, then `verify`."""

    def __init__(self, dsn: str, secret: str) -> None:
        url = dsn.replace("postgresql://", "postgresql+asyncpg://")
        self._engine = sqlalchemy.create_async_engine(url, pool_size=POOL_SIZE, max_overflow=0)
        self._store = package.SqlAlchemySessionStore(engine=self._engine)
        self._verifier = package.CookieVerifier(
            secret=package.SharedSecret(secret),
            store=self._store,
            csrf=package.OriginCheck(allowed_origins=["https://page.test"]),
            secure_cookies=False,
        )

    @property
    def dependency(self) -> Any:
        return package.BetterAuth(verifiers=[self._verifier]).current_session()

    async def open(self) -> None:
        await self._store.connect()

    async def close(self) -> None:
        await self._engine.dispose()

    def extract(self, cookie_value: str) -> Any:
        """Extracts the credential from a request with this cookie, which happens before anything is verified."""
        header = (b"cookie", f"{COOKIE_NAME}={cookie_value}".encode())
        scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": [header]}
        return self._verifier.extract(HTTPConnection(scope))

    async def verify(self, extracted: Any) -> Any | None:
        try:
            return await self._verifier.verify(extracted, package.User)
        except package.SessionError:
            return None
