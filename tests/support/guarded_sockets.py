"""An application with guarded sockets and streams, and clients of it."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import suppress
from typing import Any

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from starlette.requests import Request
from starlette.responses import StreamingResponse
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from auth_middleware import Auth, get_auth, guard_request, guard_websocket
from tests.support.polling import TIMEOUT_SECONDS

Close = tuple[int | None, str | None]


def application(auth: Auth[Any, Any], ends: list[str] | None = None) -> FastAPI:
    """`/echo`, `/flood` and `/silent` as guarded WebSockets, which send the user's id first; `/ticks` as a stream.

    `ends` is how the bodies ended, and what came after the block.
    """
    ends = [] if ends is None else ends
    app = FastAPI(lifespan=auth.lifespan)
    app.dependency_overrides[get_auth] = lambda: auth

    async def guarded(websocket: WebSocket, body: Callable[[WebSocket], Any]) -> None:
        async with guard_websocket(websocket) as identity:
            try:
                await websocket.send_json(identity.user.id)
                await body(websocket)
            except BaseException as error:
                ends.append(type(error).__name__)
                raise
        ends.append("left")

    @app.websocket("/echo")
    async def echo(websocket: WebSocket) -> None:
        async def body(websocket: WebSocket) -> None:
            while True:
                await websocket.send_text(await websocket.receive_text())

        with suppress(WebSocketDisconnect):
            await guarded(websocket, body)

    @app.websocket("/flood")
    async def flood(websocket: WebSocket) -> None:
        async def body(websocket: WebSocket) -> None:
            while True:
                await websocket.send_bytes(bytes(4 * 1024))
                await asyncio.sleep(0)  # a send into a buffer that has room does not let the event loop run

        with suppress(WebSocketDisconnect):
            await guarded(websocket, body)

    @app.websocket("/stubborn")
    async def stubborn(websocket: WebSocket) -> None:
        """Swallows the cancellation, and goes on sending."""

        async def body(websocket: WebSocket) -> None:
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            while True:
                await websocket.send_text("still here")
                await asyncio.sleep(0.01)

        await guarded(websocket, body)

    @app.get("/ticks")
    async def ticks(request: Request) -> StreamingResponse:
        guard = guard_request(request)
        await guard.__aenter__()

        async def stream() -> AsyncGenerator[str]:
            try:
                async for tick in guard.until_ended(ticking(ends)):
                    yield tick
                ends.append("left")
            finally:
                await guard.__aexit__(None, None, None)

        return StreamingResponse(stream(), media_type="text/plain")

    return app


async def ticking(ends: list[str]) -> AsyncIterator[str]:
    """Ticks; `ends` gets how it was ended."""
    try:
        while True:
            yield "tick\n"
            await asyncio.sleep(0.01)
    except BaseException as error:
        ends.append(type(error).__name__)
        raise


class Client:
    """A WebSocket client that has received the user's id."""

    def __init__(self, url: str, headers: Any, **options: Any) -> None:
        address = "ws" + url.removeprefix("http")
        self.socket: ClientConnection = connect(address, additional_headers=headers, proxy=None, legacy=True, **options)
        self.user_id = json.loads(self.socket.recv(timeout=TIMEOUT_SECONDS))

    def echo(self, text: str) -> None:
        """Sends a text and checks that it comes back: the socket is open."""
        self.socket.send(text)
        assert self.socket.recv(timeout=TIMEOUT_SECONDS) == text

    def closed(self) -> Close:
        """Waits until the server closes the socket, and returns the code and the reason."""
        try:
            while True:
                self.socket.recv(timeout=TIMEOUT_SECONDS)
        except ConnectionClosed as closed:
            return (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (None, None)

    def leave(self) -> None:
        self.socket.close()
