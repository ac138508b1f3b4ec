"""An `Auth` in a process of its own, like another server process of the same application."""

import asyncio
import multiprocessing
import os
import signal
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from types import TracebackType
from typing import Any, NamedTuple, Self

from auth_middleware import Auth, AuthSettings, StoreUnavailable


class Outcome(NamedTuple):
    """The name of the user, or the error if the store was unavailable."""

    name: str | None
    error: str | None = None


class ApplicationProcess:
    """Each process numbers its statements from 0, so that two processes use the same statement names."""

    def __init__(self, **settings: Any) -> None:
        # Not forked: a server process does not inherit the state of another one.
        context = multiprocessing.get_context("spawn")
        self._executor = ProcessPoolExecutor(1, context, _start, (settings,))

    def look_up(self, cookie_value: str) -> Outcome:
        """Looks up one session."""
        [outcome] = self.start_lookups([cookie_value]).result()
        return outcome

    def start_lookups(self, cookie_values: Sequence[str]) -> "Future[list[Outcome]]":
        """Starts concurrent lookups and returns at once."""
        return self._executor.submit(_look_up_all, list(cookie_values))

    def cache_hits(self) -> int:
        """The number of results so far that came from the live cache."""
        return self._executor.submit(_cache_hits).result()

    @contextmanager
    def paused(self) -> Generator[None]:
        """Suspends the process for the duration of the block. Lookups started meanwhile run afterwards."""
        process = self._executor.submit(os.getpid).result()
        os.kill(process, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(process, signal.SIGCONT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._executor.shutdown(cancel_futures=True)


# --- in the child process

_state: dict[str, Any] = {}


def _start(settings: dict[str, Any]) -> None:
    _state["runner"] = asyncio.Runner()
    _state["auth"] = Auth(AuthSettings(**settings))


def _look_up_all(cookie_values: list[str]) -> list[Outcome]:
    runner: asyncio.Runner = _state["runner"]
    auth: Auth = _state["auth"]

    async def look_up(cookie_value: str) -> Outcome:
        try:
            identity = await auth.validate_session(cookie_value)
        except StoreUnavailable as error:
            return Outcome(None, str(error.__cause__))
        return Outcome(identity.user.name if identity else None)

    async def look_up_all() -> list[Outcome]:
        return await asyncio.gather(*map(look_up, cookie_values))

    return runner.run(look_up_all())


def _cache_hits() -> int:
    auth: Auth = _state["auth"]
    return auth.counters["live_cache"]
