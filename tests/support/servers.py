"""Runs uvicorn on a free loopback port, in a thread."""

import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp


@contextmanager
def serving(app: ASGIApp, **options: Any) -> Generator[str]:
    """Serves the application and yields its URL. `options` are those of uvicorn."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        has_started = threading.Event()

        class Server(uvicorn.Server):
            async def startup(self, sockets: list[socket.socket] | None = None) -> None:
                await super().startup(sockets)
                has_started.set()

        server = Server(uvicorn.Config(app, log_config=None, lifespan="on", **options))
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        try:
            assert has_started.wait(timeout=30)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(timeout=30)
            assert not thread.is_alive()
