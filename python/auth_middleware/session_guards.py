"""WebSockets, streams and long requests that end with their session.

Rust knows which connections are open, and calls a guard's `end` on the event loop's thread when the session of one has
ended. What that means for an ASGI connection is decided here.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast, final

from starlette.requests import HTTPConnection
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from auth_middleware._core import RequestState, Watch
from auth_middleware.identification import Identification
from auth_middleware.models import Identity, SessionT_co, UserT_co

Item = TypeVar("Item")

# How long a client may take to receive the close frame and respond to it. After that, the connection is dropped.
CLOSE_SECONDS = 5.0

_END: Any = object()


@final
class WebSocketGuard(Generic[SessionT_co, UserT_co]):
    """Accepts a WebSocket, and closes it when its session ends. Created by `guard_websocket`."""

    __slots__ = (
        "__weakref__",
        "_accept",
        "_cancelling",
        "_closing",
        "_identification",
        "_task",
        "_watch",
        "_websocket",
    )

    def __init__(
        self,
        identification: Identification[SessionT_co, UserT_co],
        websocket: WebSocket,
        subprotocol: str | None,
        headers: Iterable[tuple[bytes, bytes]] | None,
    ) -> None:
        self._identification = identification
        self._websocket = websocket
        self._accept: tuple[str | None, Iterable[tuple[bytes, bytes]] | None] | None = (subprotocol, headers)
        self._task: asyncio.Task[Any] | None = None
        self._cancelling = 0
        self._closing: asyncio.Task[None] | None = None
        self._watch: Watch | None = None

    async def __aenter__(self) -> Identity[SessionT_co, UserT_co]:
        websocket = self._websocket
        is_accepted = websocket.application_state is not WebSocketState.CONNECTING
        # Long after the handshake, its result no longer says anything about the session.
        core = self._identification.core
        identify = core.identify_again if is_accepted else core.identify_to_guard
        if is_accepted:
            self._identification.begin_recheck(websocket)
        state = identify(websocket.scope)
        identity = await self._identification.required(state, websocket)
        self._identification.validated(websocket, identity)
        if not is_accepted and self._accept:
            await websocket.accept(*self._accept)
        self._accept = None
        self._watch = core.watch(websocket.scope, state, self)
        self._task = task = _current_task()
        self._cancelling = task.cancelling()
        return identity

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        task, self._task = self._task, None
        if self._watch:
            self._watch.release()
        if not task or not self._closing:
            return False
        is_ours = False
        try:
            # Cancelling this wait leaves the closing task, which has a deadline.
            await asyncio.wait([self._closing])
        finally:
            # As in asyncio.timeout: if other code has cancelled the task too, the cancellation propagates.
            is_ours = task.uncancel() <= self._cancelling
        return is_ours and error is not None and _follows_from_close(error)

    def end(self, code: int, reason: str, cause: str) -> None:
        """Close the socket and cancel the body. Called by Rust, outside any task."""
        if self._task is None:
            return
        self._identification.ends("closing a WebSocket", code, cause, self._websocket.scope)
        self._closing = asyncio.get_running_loop().create_task(self._close(code, reason))
        self._task.cancel()

    async def _close(self, code: int, reason: str) -> None:
        # The client may be gone, or the body may have closed the socket.
        with suppress(Exception):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._websocket.close(code, reason)


@final
class RequestGuard(Generic[SessionT_co, UserT_co]):
    """The user of a long-running request, and whether their session has ended. Created by `guard_request`.

    Attributes:
        identity: The session and its user, as they were when the request was identified.
    """

    __slots__ = (
        "__weakref__",
        "_connection",
        "_ended",
        "_holders",
        "_identification",
        "_shown",
        "_state",
        "_watch",
        "identity",
    )

    identity: Identity[SessionT_co, UserT_co]
    _state: RequestState
    # Done when the session has ended.
    _ended: asyncio.Future[str]
    # The future that the application sees, and may cancel.
    _shown: asyncio.Future[str]

    def __init__(self, identification: Identification[SessionT_co, UserT_co], connection: HTTPConnection) -> None:
        self._identification = identification
        self._connection = connection
        self._watch: Watch | None = None
        # The block, and each stream of `until_ended`: a response may be sent after its route has left the block.
        self._holders = 0

    async def __aenter__(self) -> Self:
        self._state = self._identification.core.identify_to_guard(self._connection.scope)
        self.identity = await self._identification.required(self._state, self._connection)
        loop = asyncio.get_running_loop()
        self._ended, self._shown = loop.create_future(), loop.create_future()
        self._hold()
        return self

    @property
    def ended(self) -> asyncio.Future[str]:
        """A future that is done when the session ends.

        Its result says why: `session ended`, or `session could not be checked`. Nothing is cancelled. If it was
        cancelled, for example by `asyncio.wait_for`, the next access returns a new future.

        Raises:
            RuntimeError: the guard was not entered.
        """
        self._require_entered()
        if self._shown.cancelled():
            self._shown = self._ended.get_loop().create_future()
            if self._ended.done():
                self._shown.set_result(self._ended.result())
        return self._shown

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._release()

    def end(self, code: int, reason: str, cause: str) -> None:
        """Resolve `ended`. Called by Rust."""
        if self._ended.done():
            return
        self._identification.ends("ending a guarded request", code, cause, self._connection.scope)
        self._ended.set_result(reason)
        if not self._shown.done():
            self._shown.set_result(reason)

    def _require_entered(self) -> None:
        if not hasattr(self, "_ended"):
            raise RuntimeError("enter the guard first: async with guard_request(request) as guard")

    def _hold(self) -> None:
        if not self._holders:
            self._watch = self._identification.core.watch(self._connection.scope, self._state, self)
        self._holders += 1

    def _release(self) -> None:
        self._holders -= 1
        if not self._holders and self._watch:
            self._watch.release()

    def until_ended(self, items: AsyncIterable[Item]) -> AsyncGenerator[Item]:
        """Yield the items until the session ends; then cancel the source at its current `await`, and close it.

        The source runs in the task that iterates over this, so it may use timeouts and task groups. The connection is
        guarded until the last item, even after the guard's block was left.

        Raises:
            RuntimeError: the guard was not entered.
        """
        self._require_entered()
        iterator = aiter(items)
        self._hold()
        return self._held(iterator)

    async def _held(self, iterator: AsyncIterator[Item]) -> AsyncGenerator[Item]:
        try:
            while (item := await self._next(iterator)) is not _END:
                yield item
        finally:
            self._release()
            if isinstance(iterator, AsyncGenerator):
                await iterator.aclose()

    async def _next(self, iterator: AsyncIterator[Item]) -> Item | Any:
        """The next item, or `_END` after the last one and when the session has ended."""
        if self._ended.done():
            return _END
        task = _current_task()
        before = task.cancelling()
        is_waiting, is_interrupted = True, False

        def interrupt(_ended: asyncio.Future[str]) -> None:
            nonlocal is_interrupted
            if is_waiting:
                is_interrupted = True
                task.cancel()

        self._ended.add_done_callback(interrupt)
        try:
            item = await anext(iterator, _END)
        except asyncio.CancelledError:
            is_waiting = False
            # If other code has cancelled the task too, the cancellation propagates.
            if not is_interrupted or task.uncancel() > before:
                raise
            return _END
        except BaseException:
            is_waiting = False
            if is_interrupted:
                task.uncancel()
            raise
        finally:
            self._ended.remove_done_callback(interrupt)
        is_waiting = False
        if is_interrupted:
            task.uncancel()
        return _END if self._ended.done() else item


def _current_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("guards can only be used in asyncio tasks")
    return task


def _follows_from_close(error: BaseException) -> bool:
    """Whether this exception was only caused by cancelling the body and closing its socket."""
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        return all(map(_follows_from_close, group.exceptions))
    if isinstance(error, asyncio.CancelledError | WebSocketDisconnect):
        return True
    # Starlette's and the servers' errors for what is sent or received after a close have no type of their own.
    return isinstance(error, RuntimeError) and any(
        text in str(error) for text in ("close message has been sent", "websocket.close", "WebSocket is not connected")
    )
