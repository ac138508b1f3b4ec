"""An application with each kind of guarded route, and the ways to ask it."""

import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

import httpx
import httpx2
from fastapi import Depends, FastAPI, WebSocket
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
    """`/required`, `/optional` and `/session` by every method and as WebSockets, which answer with the user's id."""
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
class Answer:
    """An HTTP answer; of an accepted WebSocket, status 101 and its first message."""

    status: int
    body: Any = None
    headers: Mapping[str, str] | None = None

    def header(self, name: str) -> str | None:
        return (self.headers or {}).get(name)


class Ask(Protocol):
    """The method is an HTTP one, or WS."""

    def __call__(self, method: str, path: str, headers: Headers | None = None) -> Answer: ...


AskWith = Callable[[Auth[Any, Any]], Ask]


def asking_in_process(client: TestClient) -> Ask:
    """By starlette's TestClient."""

    def ask(method: str, path: str, headers: Headers | None = None) -> Answer:
        if method != "WS":
            response = client.request(method, path, headers=headers)
            return Answer(response.status_code, response.json() if response.content else None, response.headers)
        try:
            with client.websocket_connect(path, headers=httpx2.Headers(headers)) as socket:
                return Answer(101, socket.receive_json())
        except WebSocketDenialResponse as denied:
            return Answer(denied.status_code, denied.json(), denied.headers)

    return ask


# Made once: httpx would read the authorities' certificates for each request.
TLS = ssl.create_default_context()


def asking_by_sockets(url: str) -> Ask:
    """By real HTTP and WebSocket clients."""

    def ask(method: str, path: str, headers: Headers | None = None) -> Answer:
        if method != "WS":
            response = httpx.request(method, url + path, headers=headers, trust_env=False, verify=TLS)
            return Answer(response.status_code, response.json() if response.content else None, response.headers)
        return ask_by_websocket(url + path, headers)

    return ask


def ask_by_websocket(url: str, headers: Headers | None) -> Answer:
    """What the handshake was answered, or the first message."""
    try:
        with connect("ws" + url.removeprefix("http"), additional_headers=headers, proxy=None) as socket:
            return Answer(101, json.loads(socket.recv()))
    except InvalidStatus as refused:
        response = refused.response
        body = json.loads(response.body or b"null")
        return Answer(response.status_code, body, {name.lower(): value for name, value in response.headers.raw_items()})
