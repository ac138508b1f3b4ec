"""An application behind `AuthMiddleware`."""

from typing import Any

from fastapi import FastAPI, WebSocket
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.types import Message

from auth_middleware import (
    Auth,
    AuthMiddleware,
    get_auth,
    get_current_session,
)
from tests.support.applications import CurrentUser, OptionalUser

PAGE = "http://page.test"


def add_routes(app: FastAPI) -> FastAPI:
    """Routes that show the user of the request, and how many lookups there were."""

    @app.api_route("/who", methods=["GET", "POST", "OPTIONS"])
    async def show(request: Request) -> list[Any]:
        return [request.user.is_authenticated, request.user.display_name, request.user.identity, request.auth.scopes]

    @app.get("/health")
    @app.get("/public/page")
    @app.get("/public")
    @app.get("/publicity")
    async def public(request: Request) -> bool:
        return request.user.is_authenticated

    @app.get("/shared")
    async def shared(request: Request, user: CurrentUser, again: OptionalUser) -> bool:
        session = await get_current_session(request)
        return request.user is user is again and session.user_id == user.id

    @app.websocket("/socket")
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_json(websocket.user.identity)

    return app


def application(auth: Auth[Any, Any], **options: Any) -> FastAPI:
    """`AuthMiddleware` inside CORS, as documented."""
    app = FastAPI(lifespan=auth.lifespan)
    app.dependency_overrides[get_auth] = lambda: auth
    app.add_middleware(AuthMiddleware, **options)
    app.add_middleware(CORSMiddleware, allow_origins=[PAGE], allow_methods=["*"], allow_credentials=True)
    return add_routes(app)


async def receive() -> Message:
    return {"type": "http.disconnect"}


async def ignore(_: Message) -> None: ...
