"""The protected application with the default instance, to be run by a server. `/loop` returns the event loop's type."""

import asyncio
import os

from auth_middleware import get_auth
from tests.support.applications import guarded

app = guarded(get_auth())


@app.get("/loop")
async def loop() -> list[str | int]:
    return [type(asyncio.get_running_loop()).__module__.partition(".")[0], os.getpid()]
