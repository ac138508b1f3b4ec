"""One address for PostgreSQL, behind which its server can be replaced."""

import asyncio
from contextlib import suppress
from typing import Self

CHUNK_BYTES = 65_536


class Address:
    """A TCP proxy on a loopback port. `target` is the port that new connections go to."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.delay_seconds = 0.0
        self._flows = asyncio.Event()
        self._flows.set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._server.close()
        self.thaw()
        self.cut()

    def freeze(self) -> None:
        """Accept connections and data, and pass nothing on until `thaw`."""
        self._flows.clear()

    def thaw(self) -> None:
        self._flows.set()

    def cut(self) -> None:
        """Close every connection at once, perhaps in the middle of a result."""
        for writer in self._writers:
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            await self._flows.wait()
            upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", self.target)
            self._writers |= {writer, upstream}
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._copy(reader, upstream))
                    tasks.create_task(self._copy(upstream_reader, writer))
            finally:
                self._writers -= {writer, upstream}
                upstream.close()
        writer.close()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                await self._flows.wait()
                if self.delay_seconds:
                    await asyncio.sleep(self.delay_seconds)
                writer.write(data)
                await writer.drain()
        writer.close()
