"""Forks while a socket is guarded. Each process prints the close of its own socket.

The environment has the default instance's settings, and COOKIE_VALUES, a cookie for the parent and one for the child.
The test signs out whoever is open.
"""

import asyncio
import gc
import os
import sys

from starlette.types import Message
from starlette.websockets import WebSocket

from auth_middleware import get_auth
from dev.cookies import COOKIE_NAME


class Socket:
    def __init__(self, cookie_value: str) -> None:
        self.sent: asyncio.Queue[Message] = asyncio.Queue()
        cookie = f"{COOKIE_NAME}={cookie_value}".encode()
        self.websocket = WebSocket({"type": "websocket", "headers": [(b"cookie", cookie)]}, self.receive, self.sent.put)

    async def receive(self) -> Message:
        return {"type": "websocket.connect"}

    async def run(self) -> None:
        async with get_auth().guard_websocket(self.websocket):
            await asyncio.Event().wait()


def say(what: str) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


async def closed(process: str, cookie_value: str, opened: asyncio.Event | None = None) -> None:
    socket = Socket(cookie_value)
    body = asyncio.create_task(socket.run())
    assert (await socket.sent.get())["type"] == "websocket.accept"
    await asyncio.sleep(0)
    assert get_auth().guarded_connections == 1
    say(f"{process} open")
    if opened:
        opened.set()
    message = await socket.sent.get()
    await body
    say(f"{process} {message['code']} {message['reason']}")


async def parent(parents: str, childs: str) -> None:
    opened = asyncio.Event()
    first = asyncio.create_task(closed("parent", parents, opened))
    await opened.wait()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            in_child(childs)
            status = 0
        finally:
            os._exit(status)
    _, ended = await asyncio.to_thread(os.waitpid, child, 0)
    if ended:
        sys.exit(f"the child ended with {ended}")
    say(f"parent has {get_auth().guarded_connections}")
    await first


def in_child(cookie_value: str) -> None:
    # The parent's loop is no business of ours.
    asyncio.events._set_running_loop(None)
    gc.collect()
    assert get_auth().guarded_connections == 0
    assert get_auth().disconnect(user_id="anybody") == 0
    asyncio.run(closed("child", cookie_value))


if __name__ == "__main__":
    asyncio.run(parent(*os.environ["COOKIE_VALUES"].split()))
