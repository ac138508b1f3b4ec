"""Instances with the live cache, on tables with the triggers of `migrate live`."""

import asyncio
import logging
import re
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

import pytest
from starlette.requests import HTTPConnection

from auth_middleware import Auth, AuthSettings, AuthUser
from auth_middleware._core import Migrations
from dev.cookies import COOKIE_NAME
from tests.support.databases import Database, SignedIn
from tests.support.instances import DEFAULTS
from tests.support.polling import POLL_SECONDS, TIMEOUT_SECONDS

# Entries that only a notification can end within a test.
AGELESS: Mapping[str, Any] = {"max_age_seconds": 3600, "heartbeat_seconds": 3600}
# Heartbeats short enough for a test to wait for.
QUICK: Mapping[str, Any] = {"max_age_seconds": 3600, "heartbeat_seconds": 0.6}


async def migrate_live(dsn: str, *ignoring: str) -> None:
    await Migrations(dsn, None).apply_live(ignoring)


class Live:
    """An instance with `freshness="live"`."""

    def __init__(self, dsn: str, user_model: type[AuthUser] = AuthUser, **settings: Any) -> None:
        values: dict[str, Any] = {"database_url": dsn, "freshness": "live", **DEFAULTS, **settings}
        self.auth: Auth[Any, Any] = Auth(AuthSettings(**values), user_model=user_model)

    async def user_id(self, who: SignedIn) -> str | None:
        """The user's id for a request with this cookie, from the cache or the store."""
        headers = [(b"cookie", f"{COOKIE_NAME}={who.cookie_value}".encode())]
        user = await self.auth.optional_user(HTTPConnection({"type": "http", "method": "GET", "headers": headers}))
        return user and user.id

    async def cached_user_id(self, who: SignedIn) -> str | None:
        """The same, but None if it did not come from the cache."""
        before = self.auth.counters["live_cache"]
        found = await self.user_id(who)
        return found if self.auth.counters["live_cache"] > before else None

    async def wait_until_cached(self, who: SignedIn) -> None:
        """Waits until the cache returns the user."""
        await self.wait_for(who, who.user_id, self.cached_user_id)

    async def wait_until_evicted(self, who: SignedIn) -> None:
        """Waits until the cache does not return the user. Each attempt that misses the cache ends the wait."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while await self.cached_user_id(who):
            assert time.monotonic() < deadline, "the session is still cached"
            await asyncio.sleep(POLL_SECONDS)

    async def wait_until_refused(self, who: SignedIn) -> None:
        """Waits until the session is refused, and checks that it stays refused."""
        await self.wait_for(who, None, self.user_id)
        for _ in range(3):
            assert await self.user_id(who) is None

    async def assert_queries_store(self, who: SignedIn) -> None:
        """Checks that every request queries the store, for the length of several heartbeats."""
        attempts = 15
        for _ in range(attempts):
            assert await self.user_id(who) == who.user_id
            assert await self.cached_user_id(who) is None
            await asyncio.sleep(float(QUICK["heartbeat_seconds"]) / 3)

    async def wait_for(self, who: SignedIn, expected: str | None, look_up: Callable[[SignedIn], Any]) -> None:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while (found := await look_up(who)) != expected:
            assert time.monotonic() < deadline, f"expected {expected}, still got {found}"
            await asyncio.sleep(POLL_SECONDS)


def cache_warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The logged warnings that the live cache is not in use."""
    messages = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    return [message for message in messages if re.search("every request (asks|queries) the store", message)]


MakeLive = Callable[..., Live]


@pytest.fixture
async def make_live(database: Database) -> AsyncGenerator[MakeLive]:
    """Creates instances for the test's database or the given DSN. Keyword arguments are settings."""
    created: list[Live] = []

    def make(dsn: str | None = None, **settings: Any) -> Live:
        live = Live(dsn or database.dsn, **{**AGELESS, **settings})
        created.append(live)
        return live

    yield make
    for live in created:
        await live.auth.close()
