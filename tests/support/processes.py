"""An `Auth` in a process of its own: what another server of the same application would be."""

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


class Answer(NamedTuple):
    """Whom a cookie's look-up named, or why it named nobody."""

    name: str | None
    trouble: str | None = None


class ApplicationProcess:
    """Every process numbers its statements anew, so those of two have the same names."""

    def __init__(self, **settings: Any) -> None:
        # Not forked: a server of an application does not start with another one's state.
        context = multiprocessing.get_context("spawn")
        self._executor = ProcessPoolExecutor(1, context, _start, (settings,))

    def ask(self, cookie_value: str) -> Answer:
        """One look-up."""
        [answer] = self.start_asking([cookie_value]).result()
        return answer

    def start_asking(self, cookie_values: Sequence[str]) -> "Future[list[Answer]]":
        """Look-ups, all at once; meanwhile the caller goes on."""
        return self._executor.submit(_ask_all, list(cookie_values))

    def kept_answers(self) -> int:
        """How many of its answers so far were none of the store's."""
        return self._executor.submit(_kept_answers).result()

    @contextmanager
    def paused(self) -> Generator[None]:
        """It stands still in here, all its threads; what it is asked meanwhile it finds when it goes on."""
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


# --- in the process

_here: dict[str, Any] = {}


def _start(settings: dict[str, Any]) -> None:
    _here["runner"] = asyncio.Runner()
    _here["auth"] = Auth(AuthSettings(**settings))


def _ask_all(cookie_values: list[str]) -> list[Answer]:
    runner: asyncio.Runner = _here["runner"]
    auth: Auth = _here["auth"]

    async def ask(cookie_value: str) -> Answer:
        try:
            identity = await auth.validate_session(cookie_value)
        except StoreUnavailable as error:
            return Answer(None, str(error.__cause__))
        return Answer(identity.user.name if identity else None)

    async def ask_all() -> list[Answer]:
        return await asyncio.gather(*map(ask, cookie_values))

    return runner.run(ask_all())


def _kept_answers() -> int:
    auth: Auth = _here["auth"]
    return auth.counters["live_cache"]
