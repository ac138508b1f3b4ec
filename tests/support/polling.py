"""Waits for something that another process does."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from auth_middleware import Auth, Identity, SchemaError, StoreUnavailable

POLL_SECONDS = 0.01
TIMEOUT_SECONDS = 30


async def until(is_done: Callable[[], bool]) -> None:
    """Lets the event loop run until the condition holds. The timeout only ends a test that would hang."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not is_done():
        assert time.monotonic() < deadline, f"the condition did not hold within {TIMEOUT_SECONDS} s"
        await asyncio.sleep(POLL_SECONDS)


def wait_until(is_done: Callable[[], bool]) -> None:
    """The same without an event loop."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not is_done():
        assert time.monotonic() < deadline, f"the condition did not hold within {TIMEOUT_SECONDS} s"
        time.sleep(POLL_SECONDS)


async def first_result(auth: Auth[Any, Any], cookie_value: str) -> Identity[Any, Any] | None:
    """The first result from the store. Until then, it may only be unavailable."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while True:
        try:
            return await auth.validate_session(cookie_value)
        except (SchemaError, StoreUnavailable):
            assert time.monotonic() < deadline, f"no result within {TIMEOUT_SECONDS} s"
            await asyncio.sleep(POLL_SECONDS)
