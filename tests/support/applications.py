"""An application with each kind of protected route, and clients that send requests to it."""

import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

import httpx
import httpx2
from fastapi import Depends, FastAPI, WebSocket
from starlette.middleware.cors import CORSMiddleware
from starlette.testclient import TestClient, WebSocketDenialResponse
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from auth_middleware import (
    Auth,
    AuthSession,
    AuthUser,
    get_auth,
    get_current_session,
    get_current_user,
    get_optional_user,
    validate_websocket,
)

CurrentUser = Annotated[AuthUser, Depends(get_current_user)]
OptionalUser = Annotated[AuthUser | None, Depends(get_optional_user)]
CurrentSession = Annotated[AuthSession, Depends(get_current_session)]

Headers = Mapping[str, str] | list[tuple[str, str]]
METHODS = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"]


def guarded(auth: Auth[Any, Any]) -> FastAPI:
    """`/required`, `/optional` and `/session` for every method and as WebSockets. Each returns the user's id."""
    app = without_cors(auth)
    # For the trusted page of `instances.DEFAULTS`.
    app.add_middleware(CORSMiddleware, allow_origins=["http://page.test"], allow_credentials=True)
    return app


def without_cors(auth: Auth[Any, Any]) -> FastAPI:
    """The same without a middleware."""
    app = FastAPI(lifespan=auth.lifespan)
    app.dependency_overrides[get_auth] = lambda: auth

    @app.api_route("/required", methods=METHODS)
    async def required(user: CurrentUser) -> str:
        return user.id

    @app.api_route("/optional", methods=METHODS)
    async def optional(user: OptionalUser) -> str | None:
        return user.id if user else None

    @app.api_route("/session", methods=METHODS)
    async def session(session: CurrentSession) -> str:
        return session.user_id

    @app.websocket("/required")
    async def required_socket(websocket: WebSocket, user: CurrentUser) -> None:
        await websocket.accept()
        await websocket.send_json(user.id)

    @app.websocket("/optional")
    async def optional_socket(websocket: WebSocket, user: OptionalUser) -> None:
        await websocket.accept()
        await websocket.send_json(user.id if user else None)

    @app.websocket("/validated")
    async def validated_socket(websocket: WebSocket) -> None:
        identity = await validate_websocket(websocket)
        await websocket.accept()
        await websocket.send_json(identity.user.id if identity else None)

    return app


@dataclass(frozen=True)
class Response:
    """An HTTP response. For an accepted WebSocket, status 101 and the first message."""

    status: int
    body: Any = None
    headers: Mapping[str, str] | None = None

    def header(self, name: str) -> str | None:
        return (self.headers or {}).get(name)


class Send(Protocol):
    """Sends a request. The method is an HTTP method or WS."""

    def __call__(self, method: str, path: str, headers: Headers | None = None) -> Response: ...


SendWith = Callable[[Auth[Any, Any]], Send]


def send_in_process(client: TestClient) -> Send:
    """Sends with Starlette's TestClient."""

    def send(method: str, path: str, headers: Headers | None = None) -> Response:
        if method != "WS":
            response = client.request(method, path, headers=headers)
            return Response(response.status_code, response.json() if response.content else None, response.headers)
        try:
            with client.websocket_connect(path, headers=httpx2.Headers(headers)) as socket:
                return Response(101, socket.receive_json())
        except WebSocketDenialResponse as denied:
            return Response(denied.status_code, denied.json(), denied.headers)

    return send


# Created once, because httpx would load the CA certificates for each request.
TLS = ssl.create_default_context()


def send_over_sockets(url: str) -> Send:
    """Sends with real HTTP and WebSocket clients."""

    def send(method: str, path: str, headers: Headers | None = None) -> Response:
        if method != "WS":
            response = httpx.request(method, url + path, headers=headers, trust_env=False, verify=TLS)
            return Response(response.status_code, response.json() if response.content else None, response.headers)
        return connect_websocket(url + path, headers)

    return send


def connect_websocket(url: str, headers: Headers | None) -> Response:
    """The first message, or the response that refused the handshake."""
    try:
        with connect("ws" + url.removeprefix("http"), additional_headers=headers, proxy=None) as socket:
            return Response(101, json.loads(socket.recv()))
    except InvalidStatus as refused:
        response = refused.response
        body = json.loads(response.body or b"null")
        return Response(
            response.status_code, body, {name.lower(): value for name, value in response.headers.raw_items()}
        )
