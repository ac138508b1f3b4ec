"""The issuer's keys over HTTPS: certificates, proxies, and a server that misbehaves."""

import json
import socket
import ssl
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
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
ANOTHER = next(vector for vector in VECTORS if vector["id"] == "1.7.25/jwt/rotated/other-server")
EXPIRED = "401"


class Handler(BaseHTTPRequestHandler):
    """Serves the keys."""

    owner: "KeyServer"

    def do_GET(self) -> None:
        self.owner.requests += 1
        # A client that has read enough hangs up.
        with suppress(OSError):
            self.respond()

    def respond(self) -> None:
        self.send(json.dumps(VECTOR["keys"]).encode())

    def send(self, body: bytes, status: int = 200, location: str | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if location:
            self.send_header("Location", location)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002 - its name there


class KeyServer:
    """An HTTPS server for a JWKS document."""

    def __init__(self, certificate: Certificate, handler: type[Handler] = Handler) -> None:
        self.requests = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Owned", (handler,), {"owner": self}))
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


def keys_at(url: str, **settings: Any) -> Auth:
    return Auth(AuthSettings(credentials="jwt", base_url=VECTOR["issuer"], jwks_url=url, **settings))


def presenting(token: str) -> HTTPConnection:
    headers = [(b"authorization", f"Bearer {token}".encode())]
    return HTTPConnection({"type": "http", "method": "GET", "headers": headers})


async def outcome(url: str) -> str:
    """What a request with the recorded token is answered: 401, because it has expired, or 503."""
    auth = keys_at(url)
    async with auth.lifespan(None):
        try:
            user: AuthUser | None = await auth.optional_user(presenting(VECTOR["token"]))
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


class Redirecting(Handler):
    """To a place on the same server that has the keys."""

    def respond(self) -> None:
        if self.path == "/keys":
            return super().respond()
        return self.send(b"", 302, location="/keys")


class Huge(Handler):
    """A good document of 100 MB, as far as anybody reads it."""

    def respond(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(VECTOR["keys"]).encode())
        for _ in range(100):
            self.wfile.write(b" " * 1_000_000)


class Forbidden(Handler):
    def respond(self) -> None:
        self.send(json.dumps(VECTOR["keys"]).encode(), 403)


class CutShort(Handler):
    """Less than it announces."""

    def respond(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "100000")
        self.end_headers()
        self.wfile.write(json.dumps(VECTOR["keys"]).encode())


class OtherKeys(Handler):
    """Those of another issuer, under the id of ours."""

    def respond(self) -> None:
        [own], [other] = VECTOR["keys"]["keys"], ANOTHER["keys"]["keys"]
        assert own["x"] != other["x"]
        self.send(json.dumps({"keys": [{**other, "kid": own["kid"]}]}).encode())


@pytest.mark.parametrize("fault", [Redirecting, Huge, Forbidden, CutShort])
async def test_what_is_no_key_set_is_503(fault: type[Handler], trusted: Authority) -> None:
    with KeyServer(trusted.issue("good"), fault) as server:
        assert await outcome(f"https://localhost:{server.port}/jwks") == "503"
        assert server.requests == 1


async def test_a_replaced_key_verifies_nothing(trusted: Authority) -> None:
    with KeyServer(trusted.issue("good"), OtherKeys) as server:
        auth = keys_at(f"https://localhost:{server.port}/jwks")
        async with auth.lifespan(None):
            assert await auth.optional_user(presenting(VECTOR["token"])) is None
        assert auth.counters["bad_token"] == 1


async def test_a_request_waits_for_slow_keys_no_longer_than_for_a_lookup(trusted: Authority) -> None:
    may_answer = threading.Event()

    class Slow(Handler):
        def respond(self) -> None:
            may_answer.wait(60)
            super().respond()

    with KeyServer(trusted.issue("good"), Slow) as server:
        auth = keys_at(f"https://localhost:{server.port}/jwks", lookup_timeout_seconds=0.2)
        async with auth.lifespan(None):
            with pytest.raises(StoreUnavailable):
                await auth.optional_user(presenting(VECTOR["token"]))
            # What needs no key is not held up.
            assert await auth.optional_user(presenting("a.b.c")) is None
            may_answer.set()
            while not auth.counters["expired"]:
                with suppress(StoreUnavailable):
                    assert await auth.optional_user(presenting(VECTOR["token"])) is None
        assert server.requests == 1, "the reading was still under way when the request was answered"


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
