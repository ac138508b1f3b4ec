"""A proxy before PostgreSQL that counts the statements which pass, and can stop to say anything."""

import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit, urlunsplit

EXECUTE, SIMPLE_QUERY = b"E", b"Q"


class CountingProxy:
    """`statements` counts each one that a client had executed, prepared or not.

    `frozen` keeps every connection open and lets nothing through to the client: a network that died silently.
    """

    def __init__(self, dsn: str) -> None:
        self._parts = urlsplit(dsn)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self.statements = 0
        self._flows = threading.Event()
        self._flows.set()
        threading.Thread(target=self._accept, daemon=True).start()

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
        for each in (self._listener, *self._sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection((self._parts.hostname or "", self._parts.port or 0))
                self._sockets += [client, server]
                threading.Thread(target=self._to_server, args=(client, server), daemon=True).start()
                threading.Thread(target=self._to_client, args=(server, client), daemon=True).start()

    def _to_client(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(65536):
                self._flows.wait()
                client.sendall(data)

    def _to_server(self, client: socket.socket, server: socket.socket) -> None:
        # Every message is a type, a length that counts itself, and content; the first ones (TLS or not, the start-up
        # packet) have no type.
        with suppress(OSError), client.makefile("rb") as stream:
            has_started = False
            while header := stream.read(5 if has_started else 4):
                content = stream.read(int.from_bytes(header[-4:]) - 4)
                # Counted before it is sent: whoever has the answer finds the number right.
                self.statements += has_started and header[:1] in (EXECUTE, SIMPLE_QUERY)
                server.sendall(header + content)
                has_started = has_started or content[:2] == b"\0\3"


@contextmanager
def counting_proxy(dsn: str) -> Generator[CountingProxy]:
    proxy = CountingProxy(dsn)
    try:
        yield proxy
    finally:
        proxy.close()
