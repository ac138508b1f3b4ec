"""A proxy that delays every byte to and from PostgreSQL by half the given round-trip delay, and keeps their order.

python -m benches.scenarios.setup.delay_proxy --to 5432 --port 5433 --delay-ms 20
"""

import argparse
import asyncio
import selectors
import socket
import sys
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

from dev.processes import ChildProcess, free_port


@contextmanager
def delayed(dsn: str, delay_ms: float) -> Generator[str]:
    """Yields a DSN of the same database through a proxy, which runs in a process of its own."""
    parts = urlsplit(dsn)
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "benches.scenarios.setup.delay_proxy",
        "--to",
        str(parts.port),
        "--port",
        str(port),
    ]
    with ChildProcess("proxy", [*command, "--delay-ms", str(delay_ms)]) as process:
        process.wait_until(lambda: _listens(port))
        netloc = f"{parts.netloc.rpartition(':')[0]}:{port}"
        yield urlunsplit(parts._replace(netloc=netloc))


class DelayedSide(asyncio.Protocol):
    """One side of a proxied connection. Sends what it receives to the other side after a delay."""

    def __init__(self, delay_seconds: float) -> None:
        self._delay_seconds = delay_seconds
        self._waiting: deque[bytes] = deque()
        self.transport: asyncio.Transport | None = None
        self.other: DelayedSide | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._waiting.append(data)
        # One timer for each chunk. Each timer sends the oldest chunk, which keeps them in order.
        asyncio.get_running_loop().call_later(self._delay_seconds, self._send_oldest)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        asyncio.get_running_loop().call_later(self._delay_seconds, self._close_other)

    def _send_oldest(self) -> None:
        data = self._waiting.popleft()
        if self.other and self.other.transport and not self.other.transport.is_closing():
            self.other.transport.write(data)

    def _close_other(self) -> None:
        if self.other and self.other.transport:
            self.other.transport.close()


class ClientSide(DelayedSide):
    """The client's side, which opens the connection to the server."""

    def __init__(self, to: int, delay_seconds: float) -> None:
        super().__init__(delay_seconds)
        self._to = to

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert self.transport
        self.transport.pause_reading()
        self._connecting = asyncio.get_running_loop().create_task(self._connect(self.transport))

    async def _connect(self, transport: asyncio.Transport) -> None:
        loop = asyncio.get_running_loop()
        _, server_side = await loop.create_connection(lambda: DelayedSide(self._delay_seconds), "127.0.0.1", self._to)
        self.other, server_side.other = server_side, self
        transport.resume_reading()


async def serve(to: int, port: int, delay_seconds: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: ClientSide(to, delay_seconds), "127.0.0.1", port)
    await server.serve_forever()


def precise_loop() -> asyncio.AbstractEventLoop:
    """A loop on `select`, whose timers are precise to microseconds. epoll rounds up to the next millisecond."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--to", type=int, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--delay-ms", type=float, required=True)
    chosen = parser.parse_args()
    with asyncio.Runner(loop_factory=precise_loop) as runner:
        runner.run(serve(chosen.to, chosen.port, chosen.delay_ms / 2000))


if __name__ == "__main__":
    main()
