"""Proxies in front of PostgreSQL: one counts statements and can freeze, one changes the returned rows."""

import multiprocessing
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import IO, Any, Protocol
from urllib.parse import urlsplit, urlunsplit

PARSE, EXECUTE, SIMPLE_QUERY, DATA_ROW = b"P", b"E", b"Q", b"D"

Row = list[bytes | None]


class Counter(Protocol):
    value: int


class Number:
    value = 0


class CountingProxy:
    """`statements` counts the statements that clients execute, prepared or not.

    `texts` is their SQL.
    While it is `frozen`, connections stay open but clients receive nothing, as when a network fails silently.
    """

    def __init__(self, dsn: str, counter: Counter | None = None) -> None:
        self._parts = urlsplit(dsn)
        self.texts: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._counter = Number() if counter is None else counter  # `or` would discard a RawValue of 0
        self._flows = threading.Event()
        self._flows.set()
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    @property
    def statements(self) -> int:
        return self._counter.value

    @property
    def dsn(self) -> str:
        port = self._listener.getsockname()[1]
        userinfo = self._parts.netloc.rpartition("@")[0]
        return urlunsplit(self._parts._replace(netloc=f"{userinfo}@127.0.0.1:{port}"))

    def freeze(self) -> None:
        self._flows.clear()

    @contextmanager
    def frozen(self) -> Generator[None]:
        self.freeze()
        try:
            yield
        finally:
            self._flows.set()

    def close(self) -> None:
        self._flows.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join()  # after this, `_sockets` has every accepted connection
        for each in (self._listener, *self._sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._sockets.append(client)
                server = socket.create_connection((self._parts.hostname or "", self._parts.port or 0))
                self._sockets.append(server)
                threading.Thread(target=self._to_server, args=(client, server), daemon=True).start()
                threading.Thread(target=self._to_client, args=(server, client), daemon=True).start()

    def _to_client(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(65536):
                self._flows.wait()
                client.sendall(data)

    def _to_server(self, client: socket.socket, server: socket.socket) -> None:
        # A message is a type, a length that includes itself, and content. The first ones (the TLS request and the
        # start-up packet) have no type.
        with suppress(OSError), client.makefile("rb") as stream:
            has_started = False
            while message := _message(stream, 5 if has_started else 4):
                header, content = message
                # Counted before it is sent: whoever has the answer finds the number right.
                if has_started and header[:1] in (PARSE, SIMPLE_QUERY):
                    # What a statement is called comes before it.
                    self.texts.append(content.split(b"\0")[header[:1] == PARSE].decode())
                self._counter.value += has_started and header[:1] in (EXECUTE, SIMPLE_QUERY)
                server.sendall(header + content)
                has_started = has_started or content[:2] == b"\0\3"


class CopyingProxy(CountingProxy):
    """Copies bytes without reading them, so that they may be encrypted. Counts nothing."""

    def _to_server(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                server.sendall(data)


class TamperingProxy(CountingProxy):
    """Passes each result row to `change`, which returns the rows that the client receives instead. Does not use TLS."""

    def __init__(self, dsn: str) -> None:
        super().__init__(f"{dsn}?sslmode=disable")
        self.change: Callable[[Row], list[Row]] = lambda row: [row]

    def _to_client(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError), server.makefile("rb") as stream:
            while message := _message(stream, 5):
                header, content = message
                if header[:1] != DATA_ROW:
                    client.sendall(header + content)
                    continue
                for row in self.change(_columns(content)):
                    client.sendall(_data_row(row))


def _message(stream: IO[bytes], header_bytes: int) -> tuple[bytes, bytes] | None:
    header = stream.read(header_bytes)
    return (header, stream.read(int.from_bytes(header[-4:]) - 4)) if header else None


def _columns(content: bytes) -> Row:
    row: Row = []
    at = 2
    for _ in range(int.from_bytes(content[:2])):
        length = int.from_bytes(content[at : at + 4], signed=True)
        at += 4
        row.append(None if length < 0 else content[at : at + length])
        at += max(length, 0)
    return row


def _data_row(row: Row) -> bytes:
    columns = [b"\xff" * 4 if each is None else len(each).to_bytes(4) + each for each in row]
    content = len(row).to_bytes(2) + b"".join(columns)
    return DATA_ROW + (len(content) + 4).to_bytes(4) + content


@contextmanager
def counting_proxy(dsn: str) -> Generator[CountingProxy]:
    proxy = CountingProxy(dsn)
    try:
        yield proxy
    finally:
        proxy.close()


@contextmanager
def copying_proxy(dsn: str) -> Generator[CopyingProxy]:
    proxy = CopyingProxy(dsn)
    try:
        yield proxy
    finally:
        proxy.close()


@contextmanager
def tampering_proxy(dsn: str) -> Generator[TamperingProxy]:
    proxy = TamperingProxy(dsn)
    try:
        yield proxy
    finally:
        proxy.close()


@contextmanager
def counting_proxy_process(dsn: str) -> Generator[tuple[str, Counter]]:
    """A CountingProxy in a process of its own, which keeps running while this process holds the GIL.

    The count is in shared memory, and can be read without releasing the GIL. Yields the DSN and the count.
    """
    context = multiprocessing.get_context("spawn")
    counter: Any = context.RawValue("q", 0)
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(dsn, counter, theirs), daemon=True)
    process.start()
    try:
        yield ours.recv(), counter
    finally:
        process.terminate()
        process.join()
        process.close()
        ours.close()
        theirs.close()


def _serve(dsn: str, counter: Any, connection: Any) -> None:
    connection.send(CountingProxy(dsn, counter).dsn)
    threading.Event().wait()
