"""Errors after `accept`, over real sockets: the socket closes, and the handlers of an application still catch them."""

import json
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, HTTPException, Request, WebSocket
from fastapi.responses import JSONResponse
from starlette.applications import Starlette
from starlette.exceptions import WebSocketException
from starlette.routing import WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from auth_middleware import (
    Auth,
    AuthMiddleware,
    OriginRefused,
    StoreUnavailable,
    get_auth,
    get_current_user,
    http_response,
    validate_websocket,
)
from auth_middleware.testing import AuthTestKit
from dev.cookies import SECRET, cookie, new_token
from dev.environment import without_our_settings
from dev.postgres import EmbeddedPostgres
from dev.processes import ChildProcess, free_port
from tests.support.databases import Database, SignedIn, outage
from tests.support.instances import BASE_URL, MakeAuth, unreachable_dsn
from tests.support.polling import wait_until

ROOT = Path(__file__).parents[2]
APP = "tests.support.programs.late_sockets:app"
EVIL = {"Origin": "https://evil.example"}
SERVERS: dict[str, Sequence[str]] = {
    "websockets": ["uvicorn", "--ws=websockets", "--port={port}", APP],
    "websockets-sansio": ["uvicorn", "--ws=websockets-sansio", "--port={port}", APP],
    "wsproto": ["uvicorn", "--ws=wsproto", "--port={port}", APP],
    "hypercorn": ["hypercorn", "--bind=127.0.0.1:{port}", APP],
}
UNAUTHENTICATED = (1008, "Not authenticated")
UNAVAILABLE = (1013, "Authentication is temporarily unavailable")


@pytest.fixture
def who(database: Database) -> SignedIn:
    return database.sign_in()


class Server:
    """A running server of the sockets that are validated late."""

    def __init__(self, process: ChildProcess, port: int) -> None:
        self.process = process
        self._url = f"ws://127.0.0.1:{port}"

    def open(self, path: str, headers: dict[str, str]) -> ClientConnection:
        return connect(self._url + path, additional_headers=headers, proxy=None)

    def is_answered(self, path: str, headers: dict[str, str]) -> bool:
        """Whether the first message is none that closes the socket."""
        try:
            with self.open(path, headers) as socket:
                return bool(socket.recv())
        except ConnectionClosed:
            return False

    def end(self, path: str, headers: dict[str, str]) -> tuple[int, str]:
        """Code and reason of the close that the first message is."""
        with self.open(path, headers) as socket, pytest.raises(ConnectionClosed) as closed:
            socket.recv()
        assert closed.value.rcvd
        return closed.value.rcvd.code, closed.value.rcvd.reason


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, database: Database) -> Generator[Server]:
    with running(SERVERS[request.param], database.dsn) as started:
        yield started
        started.process.stop()
        output = started.process.last_output()
        assert "Traceback" not in output
        assert "RuntimeError" not in output


@contextmanager
def running(command: Sequence[str], dsn: str) -> Generator[Server]:
    port = free_port()
    settings = {"DATABASE_URL": dsn, "BETTER_AUTH_SECRET": SECRET, "BETTER_AUTH_URL": BASE_URL}
    arguments = [part.format(port=port) for part in command]
    environment = without_our_settings() | settings
    with ChildProcess(command[0], [sys.executable, "-m", *arguments], env=environment, cwd=ROOT) as process:
        process.wait_for_url(f"http://127.0.0.1:{port}/ready")
        yield Server(process, port)


def test_the_socket_closes(server: Server, postgres: EmbeddedPostgres, database: Database, who: SignedIn) -> None:
    for name in ("current", "session", "fresh"):
        assert server.end(f"/late/{name}", {}) == UNAUTHENTICATED
        assert server.end(f"/late/{name}", cookie(new_token())) == (1008, "Invalid or expired session")
    for name in ("current", "optional", "session", "fresh", "validated"):
        assert server.end(f"/late/{name}", who.headers | EVIL) == (1008, "Origin not allowed")
        with server.open(f"/late/{name}", who.headers) as socket:
            assert json.loads(socket.recv()) is True
    with server.open("/late/validated", {}) as socket:
        assert json.loads(socket.recv()) is False

    with server.open("/loop/validated", who.headers) as open_socket, server.open("/loop/fresh", who.headers) as fresh:
        for socket in (open_socket, fresh):
            socket.send("")
            assert json.loads(socket.recv()) is True
        with outage(postgres):
            for name in ("current", "optional", "session", "fresh", "validated"):
                assert server.end(f"/late/{name}", who.headers) == UNAVAILABLE
            with server.open("/caught/validated", who.headers) as socket:
                assert json.loads(socket.recv())[0] == "StoreUnavailable"
                socket.send("1")
                assert json.loads(socket.recv()) == 1
        wait_until(lambda: server.is_answered("/late/validated", who.headers))
        database.execute(f"DELETE FROM session WHERE id = '{who.session_id}'")
        for _ in range(3):
            open_socket.send("")
            assert json.loads(open_socket.recv()) is False
        fresh.send("")
        with pytest.raises(ConnectionClosed) as closed:
            fresh.recv()
        assert closed.value.rcvd
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "Invalid or expired session")

    with server.open("/caught/current", {}) as socket:
        assert json.loads(socket.recv()) == [401, "Not authenticated", "401: Not authenticated"]
        socket.send("1")
        assert json.loads(socket.recv()) == 1


def late(auth: Auth[Any, Any], function: Any) -> FastAPI:
    app = FastAPI()
    app.dependency_overrides[get_auth] = lambda: auth

    @app.websocket("/")
    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_json(await function(websocket) is not None)

    return app


def end(client: TestClient, path: str = "/", headers: dict[str, str] | None = None) -> tuple[int, str]:
    with pytest.raises(WebSocketDisconnect) as closed, client.websocket_connect(path, headers=headers or {}) as socket:
        socket.receive_json()
    return closed.value.code, closed.value.reason


def hints(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "validate before accept" in record.getMessage()]


@pytest.mark.parametrize("function", [get_current_user, validate_websocket])
def test_one_line_says_what_to_do(auth: Auth, function: Any, caplog: pytest.LogCaptureFixture) -> None:
    with TestClient(late(auth, function)) as client:
        for _ in range(3):
            if function is get_current_user:
                assert end(client) == UNAUTHENTICATED
            else:
                with client.websocket_connect("/") as socket:
                    assert socket.receive_json() is False
    assert len(hints(caplog)) == 1


@pytest.mark.parametrize("again", ["validated", "fresh"])
def test_sockets_that_are_checked_again_need_no_advice(
    auth: Auth, database: Database, who: SignedIn, again: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = FastAPI()

    @app.websocket("/")
    async def endpoint(websocket: WebSocket) -> None:
        await (auth.validate_websocket(websocket) if again == "validated" else auth.current_user(websocket))
        await websocket.accept()
        database.execute(f"DELETE FROM session WHERE id = '{who.session_id}'")
        if again == "validated":
            await websocket.send_json(await auth.validate_websocket(websocket))
        else:
            await auth.fresh_user(websocket)

    with TestClient(app) as client:
        if again == "validated":
            with client.websocket_connect("/", headers=who.headers) as socket:
                assert socket.receive_json() is None
        else:
            assert end(client, headers=who.headers) == (1008, "Invalid or expired session")
    assert hints(caplog) == []


def test_an_anonymous_socket_that_is_checked_again_needs_no_advice(
    auth: Auth, caplog: pytest.LogCaptureFixture
) -> None:
    app = FastAPI()

    @app.websocket("/")
    async def endpoint(websocket: WebSocket) -> None:
        before = await auth.validate_websocket(websocket)
        await websocket.accept()
        await websocket.send_json([before, await auth.validate_websocket(websocket)])

    with TestClient(app) as client, client.websocket_connect("/") as socket:
        assert socket.receive_json() == [None, None]
    assert hints(caplog) == []


async def raised(auth: Auth[Any, Any], headers: dict[str, str], *, is_accepted: bool) -> Exception:
    """What `validate_websocket` raises."""
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    async def receive() -> dict[str, str]:
        return {"type": "websocket.connect"}

    async def send(_: object) -> None: ...

    websocket = WebSocket({"type": "websocket", "headers": raw, "path": "/"}, receive, send)
    if is_accepted:
        await websocket.accept()
    with pytest.raises((StoreUnavailable, OriginRefused)) as caught:
        await auth.validate_websocket(websocket)
    return caught.value


async def test_only_after_accept_it_is_also_starlettes_exception(make_auth: MakeAuth, who: SignedIn) -> None:
    auth, down = make_auth(), make_auth(database_url=unreachable_dsn())
    cases = [(auth, who.headers | EVIL, 403, 1008, OriginRefused), (down, who.headers, 503, 1013, StoreUnavailable)]
    for instance, headers, status, code, kind in cases:
        before = await raised(instance, headers, is_accepted=False)
        after = await raised(instance, headers, is_accepted=True)
        assert not isinstance(before, WebSocketException)
        assert isinstance(after, WebSocketException)
        for error in (before, after):
            assert isinstance(error, HTTPException)
            assert isinstance(error, kind)
            assert error.status_code == status
            assert http_response(error).status_code == status
        assert isinstance(before, HTTPException)
        assert isinstance(after, HTTPException)
        assert (after.code, after.reason, after.detail, after.headers) == (
            code,
            before.detail,
            before.detail,
            before.headers,
        )
        assert str(after) == str(before)


def test_handlers_of_the_application_for_http_do_not_get_the_socket(auth: Auth) -> None:
    app = late(auth, get_current_user)

    @app.exception_handler(HTTPException)
    @app.exception_handler(StoreUnavailable)
    async def handler(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse(str(error))

    with TestClient(app) as client:
        assert end(client) == UNAUTHENTICATED


def test_plain_starlette(auth: Auth) -> None:
    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        await auth.current_user(websocket)

    with TestClient(Starlette(routes=[WebSocketRoute("/", endpoint)])) as client:
        assert end(client) == UNAUTHENTICATED


@pytest.mark.usefixtures("environment")
def test_a_missing_setting_closes_with_an_internal_error() -> None:
    app = FastAPI()

    @app.websocket("/")
    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        await get_current_user(websocket)

    with TestClient(app) as client:
        assert end(client) == (1011, "Authentication is not configured")


def test_an_instance_that_lacks_its_settings_closes_an_accepted_socket(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("BETTER_AUTH_SECRET", raising=False)
    auth = Auth()
    for function in (
        auth.current_user,
        auth.optional_user,
        auth.fresh_user,
        auth.current_session,
        auth.token_claims,
        auth.validate_websocket,
        get_current_user,
    ):
        assert end(TestClient(late(auth, function))) == (1011, "Authentication is not configured")


@pytest.mark.parametrize("first", ["current_user", "optional_user", "current_session", "AuthMiddleware", "anonymous"])
def test_no_hint_if_a_socket_was_validated_before_accept(first: str, caplog: pytest.LogCaptureFixture) -> None:
    kit = AuthTestKit()
    login = kit.login()
    app: FastAPI = FastAPI()
    if first == "AuthMiddleware":
        app.add_middleware(AuthMiddleware, auth=kit.auth)

    @app.websocket("/")
    async def endpoint(websocket: WebSocket) -> None:
        if first != "AuthMiddleware":
            await getattr(kit.auth, "optional_user" if first == "anonymous" else first)(websocket)
        await websocket.accept()
        kit.revoke(login.session)
        await websocket.send_json(await kit.auth.validate_websocket(websocket) is None)

    headers = {} if first == "anonymous" else login.headers
    with TestClient(app) as client, client.websocket_connect("/", headers=headers) as socket:
        assert socket.receive_json() is True
    assert not hints(caplog)


def test_no_hint_if_a_cache_identified_a_socket_before_accept(caplog: pytest.LogCaptureFixture) -> None:
    kit = AuthTestKit(freshness="live")
    login = kit.login()
    app = FastAPI()

    @app.websocket("/")
    async def endpoint(websocket: WebSocket) -> None:
        await kit.auth.current_user(websocket)
        await websocket.accept()
        if websocket.query_params:
            kit.revoke(login.session)
        await websocket.send_json(await kit.auth.validate_websocket(websocket) is None)

    with TestClient(app) as client:
        for path, is_refused in (("/", False), ("/", False), ("/?revoke=1", True)):
            with client.websocket_connect(path, headers=login.headers) as socket:
                assert socket.receive_json() is is_refused
    assert kit.auth.counters["live_cache"]
    assert not hints(caplog)
