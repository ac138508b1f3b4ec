"""An application with every kind of protected route, for the oldest supported versions.

A server runs it, and its own `main` tests it with Starlette's TestClient.

Usage: python oldest_application.py COOKIE_VALUE
"""

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, WebSocket

from auth_middleware import (
    SESSION_COOKIE_NAME,
    Auth,
    AuthSession,
    AuthUser,
    get_current_session,
    get_current_user,
    get_optional_user,
    lifespan,
    validate_websocket,
)


class Member(AuthUser):
    role: str


members = Auth(user_model=Member)


@asynccontextmanager
async def combined_lifespan(app: FastAPI) -> AsyncGenerator[None]:
    async with lifespan(app), members.lifespan(app):
        yield


app = FastAPI(lifespan=combined_lifespan)


@app.get("/required")
@app.post("/required")
async def required(user: Annotated[AuthUser, Depends(get_current_user)]) -> AuthUser:
    return user


@app.get("/optional")
async def optional(user: Annotated[AuthUser | None, Depends(get_optional_user)]) -> str | None:
    return user.name if user else None


@app.get("/session")
async def session(session: Annotated[AuthSession, Depends(get_current_session)]) -> AuthSession:
    return session


@app.get("/member")
async def member(user: Annotated[Member, Depends(members.current_user)]) -> str:
    return user.role


@app.websocket("/required")
async def required_socket(websocket: WebSocket, user: Annotated[AuthUser, Depends(get_current_user)]) -> None:
    await websocket.accept()
    await websocket.send_json(user.name)


@app.websocket("/validated")
async def validated_socket(websocket: WebSocket) -> None:
    identity = await validate_websocket(websocket)
    if identity is None:
        raise HTTPException(401, "not signed in")
    await websocket.accept()
    await websocket.send_json(identity.user.name)


def main(cookie_value: str) -> None:
    """Tests the application with Starlette's TestClient."""
    from starlette.testclient import TestClient, WebSocketDenialResponse  # noqa: PLC0415 - not needed under uvicorn

    signed_in = {"Cookie": f"{SESSION_COOKIE_NAME}={cookie_value}"}
    with TestClient(app) as client:
        assert client.get("/required", headers=signed_in).json()["name"] == "Ada Lovelace"
        assert client.get("/required").status_code == 401
        with client.websocket_connect("/required", headers=signed_in) as socket:
            assert socket.receive_json() == "Ada Lovelace"
        status = 101
        try:
            with client.websocket_connect("/required"):
                pass
        except WebSocketDenialResponse as denied:
            status = denied.status_code
        assert status == 401


if __name__ == "__main__":
    main(sys.argv[1])
