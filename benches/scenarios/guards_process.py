"""Run by `guards`: opens sockets in this process, without a server, and keeps them open.

    python -m benches.scenarios.guards_process guarded 10000 60

Prints `open` and the growth of this process in bytes for each socket; then `idle` and the share of a processor that it
has used meanwhile. `validated` sockets have no guard. The sessions are those of `sign_in_numbered`.
"""

import asyncio
import gc
import os
import sys
import time
from collections.abc import Sequence

from starlette.types import Message
from starlette.websockets import WebSocket

from auth_middleware import Auth
from benches.scenarios.setup.process_stats import cpu_seconds, resident_bytes
from dev.cookies import COOKIE_NAME, signed
from dev.sessions import numbered_token

WARM_UP = 500
CONCURRENT = 64


class Sockets:
    """Open sockets, each with a task of its own that waits, as in a server."""

    def __init__(self, auth: Auth, kind: str) -> None:
        self._auth = auth
        self._body = {"guarded": self._guarded, "validated": self._validated}[kind]
        self._tasks: list[asyncio.Task[None]] = []
        self._opening = asyncio.Semaphore(CONCURRENT)

    async def open(self, numbers: Sequence[int]) -> None:
        opened = [asyncio.Event() for _ in numbers]
        for number, event in zip(numbers, opened, strict=True):
            await self._opening.acquire()
            self._tasks.append(asyncio.create_task(self._body(number, event)))
        for event in opened:
            await event.wait()
        assert not any(task.done() for task in self._tasks)

    async def _guarded(self, number: int, opened: asyncio.Event) -> None:
        async with self._auth.guard_websocket(websocket_of(number)) as identity:
            await self._stay(opened, identity)

    async def _validated(self, number: int, opened: asyncio.Event) -> None:
        websocket = websocket_of(number)
        identity = await self._auth.validate_websocket(websocket)
        await websocket.accept()
        await self._stay(opened, identity)

    async def _stay(self, opened: asyncio.Event, identity: object) -> None:
        assert identity
        self._opening.release()
        opened.set()
        await asyncio.Event().wait()


def websocket_of(number: int) -> WebSocket:
    value = signed(numbered_token(number), os.environ["BETTER_AUTH_SECRET"])

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(_message: Message) -> None: ...

    return WebSocket({"type": "websocket", "headers": [(b"cookie", f"{COOKIE_NAME}={value}".encode())]}, receive, send)


def settled_bytes() -> int:
    gc.collect()
    return resident_bytes(os.getpid())


async def main(kind: str, count: int, seconds: float) -> None:
    auth = Auth()
    async with auth.lifespan(None):
        sockets = Sockets(auth, kind)
        await sockets.open(range(WARM_UP))
        before = settled_bytes()
        await sockets.open(range(WARM_UP, count))
        print("open", (settled_bytes() - before) / (count - WARM_UP), flush=True)
        used, began = cpu_seconds(os.getpid()), time.monotonic()
        await asyncio.sleep(seconds)
        print("idle", (cpu_seconds(os.getpid()) - used) / (time.monotonic() - began), flush=True)
        os._exit(0)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
