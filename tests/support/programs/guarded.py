"""Guarded sockets and streams with the default instance, to be run by a server. `/loop` returns the loop's type."""

import asyncio
import os

from auth_middleware import get_auth
from tests.support.guarded_sockets import application

app = application(get_auth())


@app.get("/loop")
async def loop() -> list[str | int]:
    return [type(asyncio.get_running_loop()).__module__.partition(".")[0], os.getpid()]


@app.get("/count")
async def count() -> int:
    return get_auth().guarded_connections
