"""Event loops that record how they are used."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any
from weakref import WeakSet


class WatchedFuture(asyncio.Future[Any]):
    """Records in its loop which thread resolved it."""

    def set_result(self, result: Any, /) -> None:
        self._record()
        super().set_result(result)

    def set_exception(self, exception: type[BaseException] | BaseException, /) -> None:
        self._record()
        super().set_exception(exception)

    def _record(self) -> None:
        event_loop = self.get_loop()
        assert isinstance(event_loop, WatchedLoop)
        event_loop.resolved_by.add(threading.get_ident())


class WatchedLoop(asyncio.SelectorEventLoop):
    """Records what wakes it. asyncio's own wake-up pipe does not use `add_reader`, so it is not recorded."""

    def __init__(self) -> None:
        super().__init__()
        # The number of calls from other threads, and the number of finished futures after each wake-up.
        self.calls = 0
        self.done_after_wakes: list[int] = []
        self.watched: set[int] = set()
        self.resolved_by: set[int] = set()
        self.futures: WeakSet[WatchedFuture] = WeakSet()

    def add_reader(self, fd: Any, callback: Callable[..., Any], *args: Any) -> None:
        self.watched.add(fd)
        super().add_reader(fd, self._woken, callback, *args)

    def call_soon_threadsafe(self, callback: Callable[..., Any], *args: Any, context: Any = None) -> asyncio.Handle:
        self.calls += 1
        return super().call_soon_threadsafe(self._woken, callback, *args, context=context)

    def _woken(self, callback: Callable[..., Any], *args: Any) -> None:
        callback(*args)
        self.done_after_wakes.append(sum(future.done() for future in self.futures))

    def create_future(self) -> WatchedFuture:
        future = WatchedFuture(loop=self)
        self.futures.add(future)
        return future


class UnwatchingLoop(WatchedLoop):
    """Does not support `add_reader`, like the proactor loop on Windows."""

    def add_reader(self, fd: Any, callback: Callable[..., Any], *args: Any) -> None:
        raise NotImplementedError
