"""Waiting for what another process does."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from auth_middleware import Auth, Identity, SchemaError, StoreUnavailable

POLL_SECONDS = 0.01
PATIENCE_SECONDS = 30


async def until(happened: Callable[[], bool]) -> None:
    """Lets the event loop run until it happened. The limit only ends a test that would never end."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        assert time.monotonic() < deadline, f"it did not happen within {PATIENCE_SECONDS} s"
        await asyncio.sleep(POLL_SECONDS)


def wait_until(happened: Callable[[], bool]) -> None:
    """The same where no event loop runs."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        assert time.monotonic() < deadline, f"it did not happen within {PATIENCE_SECONDS} s"
        time.sleep(POLL_SECONDS)


async def first_answer(auth: Auth[Any, Any], cookie_value: str) -> Identity[Any, Any] | None:
    """What the store says as soon as it says something; until then it may only be unable to say."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return await auth.validate_session(cookie_value)
        except (SchemaError, StoreUnavailable):
            assert time.monotonic() < deadline, f"no answer within {PATIENCE_SECONDS} s"
            await asyncio.sleep(POLL_SECONDS)
