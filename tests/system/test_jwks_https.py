"""The issuer's keys over HTTPS: certificates, proxies, and a server that misbehaves."""

import json
import socket
import ssl
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any, Self

import pytest
from starlette.requests import HTTPConnection

from auth_middleware import Auth, AuthSettings, AuthUser, StoreUnavailable
from dev.certificates import Authority, Certificate

pytestmark = pytest.mark.needs("openssl")

# A token of better-auth 1.7.25 and its key, as recorded; it is valid for longer than its clock says.
VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "jwt-vectors.json").read_text())["vectors"]
VECTOR = next(vector for vector in VECTORS if vector["id"] == "1.7.25/jwt/default")
EXPIRED = "401"


class KeyServer:
    """An HTTPS server for a JWKS document."""

    def __init__(self, certificate: Certificate) -> None:
        self.requests = 0
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.requests += 1
                body = json.dumps(VECTOR["keys"]).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002 - its name there

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.certificate, certificate.key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self._server.server_address[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("keys") / "authority")


@pytest.fixture
def trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """The authority, which the process trusts as SSL_CERT_FILE says."""
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    return authority


async def outcome(url: str) -> str:
    """What a request with the recorded token is answered: 401, because it has expired, or 503."""
    auth = Auth(AuthSettings(credentials="jwt", base_url=VECTOR["issuer"], jwks_url=url))
    headers = [(b"authorization", f"Bearer {VECTOR['token']}".encode())]
    request = HTTPConnection({"type": "http", "method": "GET", "headers": headers})
    async with auth.lifespan(None):
        try:
            user: AuthUser | None = await auth.optional_user(request)
        except StoreUnavailable:
            return "503"
    assert user is None
    assert auth.counters["expired"] == 1, "the key was read, and the token is only too old"
    return EXPIRED


async def test_a_trusted_certificate_is_accepted(trusted: Authority) -> None:
    with KeyServer(trusted.issue("good")) as server:
        assert await outcome(f"https://localhost:{server.port}/jwks") == EXPIRED
        assert server.requests == 1


@pytest.mark.parametrize("fault", ["other_authority", "other_name", "only_common_name", "expired"])
async def test_a_certificate_that_is_not_for_it_is_refused(fault: str, trusted: Authority, tmp_path: Path) -> None:
    certificate = {
        "other_authority": lambda: Authority(tmp_path / "other").issue("good"),
        "other_name": lambda: trusted.issue("other", ["DNS:keys.example"]),
        "only_common_name": lambda: trusted.issue("localhost", []),
        "expired": lambda: trusted.issue("expired", expired=True),
    }[fault]()
    with KeyServer(certificate) as server:
        assert await outcome(f"https://localhost:{server.port}/jwks") == "503"
        assert server.requests == 0


class Proxy:
    """An HTTP proxy that only knows CONNECT, and leads every name to one port of this machine."""

    def __init__(self, port: int) -> None:
        self.asked: list[str] = []
        owner = self

        class Handler(BaseRequestHandler):
            def handle(self) -> None:
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    head += self.request.recv(4096)
                owner.asked.append(head.split(b"\r\n")[0].decode())
                with connected(port) as there:
                    self.request.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    one = threading.Thread(target=pump, args=(there, self.request), daemon=True)
                    one.start()
                    pump(self.request, there)
                    one.join(timeout=10)

        ThreadingTCPServer.daemon_threads = True
        self._server = ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def connected(port: int) -> Generator[Any]:
    with socket.create_connection(("127.0.0.1", port)) as there:
        yield there


def pump(source: Any, target: Any) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(1)
    except OSError:
        pass


@pytest.fixture
def proxied(trusted: Authority, monkeypatch: pytest.MonkeyPatch) -> Generator[tuple[KeyServer, Proxy]]:
    with KeyServer(trusted.issue("keys", ["DNS:keys.example", "DNS:localhost"])) as server, Proxy(server.port) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        yield server, proxy


async def test_the_proxy_of_the_environment_is_used(proxied: tuple[KeyServer, Proxy]) -> None:
    server, proxy = proxied
    assert await outcome("https://keys.example/jwks") == EXPIRED
    assert (server.requests, proxy.asked) == (1, ["CONNECT keys.example:443 HTTP/1.1"])


async def test_no_proxy_and_this_machine_are_not_proxied(
    proxied: tuple[KeyServer, Proxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, proxy = proxied
    assert await outcome(f"https://localhost:{server.port}/jwks") == EXPIRED
    monkeypatch.setenv("NO_PROXY", "keys.example")
    # Nobody has that name but the proxy.
    assert await outcome("https://keys.example/jwks") == "503"
    assert (server.requests, proxy.asked) == (1, [])
