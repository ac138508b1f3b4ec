"""Instances whose answers are kept in the process, on tables whose triggers tell of changes."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

import pytest
from starlette.requests import HTTPConnection

from auth_middleware import Auth, AuthSettings, AuthUser
from auth_middleware._core import Migrations
from tests.support.cookies import COOKIE_NAME
from tests.support.databases import Database, SignedIn
from tests.support.instances import DEFAULTS
from tests.support.polling import PATIENCE_SECONDS, POLL_SECONDS

# What only a notification, or nothing, can end within a test.
AGELESS: Mapping[str, Any] = {"max_age_seconds": 3600, "heartbeat_seconds": 3600}
# A heartbeat that a test can wait for.
QUICK: Mapping[str, Any] = {"max_age_seconds": 3600, "heartbeat_seconds": 0.6}


async def migrate_live(dsn: str) -> None:
    await Migrations(dsn, None).apply_live()


class Live:
    """An instance with `freshness="live"`."""

    def __init__(self, dsn: str, user_model: type[AuthUser] = AuthUser, **settings: Any) -> None:
        values: dict[str, Any] = {"database_url": dsn, "freshness": "live", **DEFAULTS, **settings}
        self.auth: Auth[Any, Any] = Auth(AuthSettings(**values), user_model=user_model)

    async def ask(self, who: SignedIn) -> str | None:
        """Whom it names, to a page's request; and if from the store, in the same words."""
        headers = [(b"cookie", f"{COOKIE_NAME}={who.cookie_value}".encode())]
        user = await self.auth.optional_user(HTTPConnection({"type": "http", "method": "GET", "headers": headers}))
        return user and user.id

    async def ask_cache(self, who: SignedIn) -> str | None:
        """The same, but None too where the store had to be asked."""
        before = self.auth.counters["live_cache"]
        found = await self.ask(who)
        return found if self.auth.counters["live_cache"] > before else None

    async def keeps(self, who: SignedIn) -> None:
        """Until it answers for them without the store."""
        await self.comes_to(who, who.user_id, self.ask_cache)

    async def forgets(self, who: SignedIn) -> None:
        """Until it no longer answers for them without the store, asked only seldom enough to tell."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while await self.ask_cache(who):
            assert time.monotonic() < deadline, "the cache still answers"
            await asyncio.sleep(POLL_SECONDS)

    async def refuses(self, who: SignedIn) -> None:
        """Until they are nobody, and stay it."""
        await self.comes_to(who, None, self.ask)
        for _ in range(3):
            assert await self.ask(who) is None

    async def asks_the_store(self, who: SignedIn) -> None:
        """For many heartbeats on end, each time, and it names them."""
        beats = 15
        for _ in range(beats):
            assert await self.ask(who) == who.user_id
            assert await self.ask_cache(who) is None
            await asyncio.sleep(float(QUICK["heartbeat_seconds"]) / 3)

    async def comes_to(self, who: SignedIn, expected: str | None, ask: Callable[[SignedIn], Any]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (found := await ask(who)) != expected:
            assert time.monotonic() < deadline, f"it goes on saying {found}"
            await asyncio.sleep(POLL_SECONDS)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What operators were told of a cache that is not used."""
    messages = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    return [message for message in messages if "every request asks the store" in message]


MakeLive = Callable[..., Live]


@pytest.fixture
async def make_live(database: Database) -> AsyncGenerator[MakeLive]:
    """Makes instances for the test's database, or for the DSN that is given; keywords are settings."""
    made: list[Live] = []

    def make(dsn: str | None = None, **settings: Any) -> Live:
        live = Live(dsn or database.dsn, **{**AGELESS, **settings})
        made.append(live)
        return live

    yield make
    for live in made:
        await live.auth.close()
