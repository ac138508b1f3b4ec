"""The guarded application of the default instance, for a server's command line; `/loop` names the event loop."""

import asyncio
import os

from auth_middleware import get_auth
from tests.support.applications import guarded

app = guarded(get_auth())


@app.get("/loop")
async def loop() -> list[str | int]:
    return [type(asyncio.get_running_loop()).__module__.partition(".")[0], os.getpid()]
