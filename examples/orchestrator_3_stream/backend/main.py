"""The Python side: who is signed in at the auth-service, asked on a route, on an optional route and on a WebSocket.

Run: python -m uvicorn main:app --port 9403
"""

import asyncio
import logging
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request, WebSocket, WebSocketDisconnect
from fastapi.middleware.cors import CORSMiddleware

# Before the import below: the cookie's name follows from the auth-service's URL, which calls it AUTH_BASE_URL.
if auth_base_url := os.environ.get("AUTH_BASE_URL"):
    os.environ["BETTER_AUTH_URL"] = auth_base_url
# The pages that may use a visitor's cookie here, for CORS and for WebSocket handshakes alike.
# Without a slash at the end, which the auth service accepts and no Origin header has.
os.environ["FRONTEND_URL"] = ",".join(
    url.strip().rstrip("/") for url in os.environ.get("FRONTEND_URL", "http://localhost:5175").split(",")
)

from auth_middleware import (
    AuthUser,
    SchemaError,
    StoreUnavailable,
    get_current_session,
    get_current_user,
    get_optional_user,
    get_session_from_cookie,
    get_token_claims,
    lifespan,
    validate_websocket,
)

FRONTENDS = os.environ["FRONTEND_URL"].split(",")
# Where no cookie is accepted, because this API is on another site than the auth service, pages need not send any.
ACCEPTS_COOKIES = "cookie" in (os.environ.get("AUTH_MIDDLEWARE_CREDENTIALS") or "cookie")
# What pages that bring their token as a protocol offer beside it: the browser wants one of its offers selected.
PROTOCOL = "orchestrator"
# Off by default: the stream is for those who are signed in.
ALLOW_ANONYMOUS_WS = os.environ.get("ALLOW_ANONYMOUS_WS") == "1"
PUSH_SECONDS = 1.0
# 4000 to 4999 are for applications (RFC 6455, section 7.4.2); 4001 resembles HTTP 401.
SESSION_ENDED = 4001

CurrentUser = Annotated[AuthUser, Depends(get_current_user)]
TokenClaims = Annotated[dict[str, Any] | None, Depends(get_token_claims)]
OptionalUser = Annotated[AuthUser | None, Depends(get_optional_user)]


@dataclass
class Counters:
    greetings: int = 0
    open_sockets: int = 0
    pushes: int = 0


# Uvicorn (0.54, with `websockets`) logs this error for each handshake that was refused with an HTTP response, although
# the client got that response. The stream's route always accepts or refuses, so here the message is never true.
logging.getLogger("uvicorn.error").addFilter(
    lambda record: record.getMessage() != "ASGI callable returned without completing handshake."
)

app = FastAPI(title="Orchestrator", lifespan=lifespan)
app.add_middleware(
    CORSMiddleware,
    allow_origins=FRONTENDS,
    allow_credentials=ACCEPTS_COOKIES,
    allow_methods=["GET", "POST"],
    allow_headers=["Authorization", "Content-Type"],
)
counters = Counters()
started = time.monotonic()


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/api/me")
async def me(request: Request, user: CurrentUser, claims: TokenClaims) -> dict[str, object]:
    """Who the request's credential belongs to, and how long it is valid. All that is asked here shares one lookup."""
    if claims is None:
        session = await get_current_session(request)
        shown = session.model_dump(include={"id", "created_at", "updated_at", "expires_at"})
        credential = "cookie" if await get_session_from_cookie(request) else "bearer"
        return {"user": user.model_dump(), "session": shown, "credential": credential}
    # A JWT has no session. `exp` is always there, `iat` where Better Auth issued it.
    times = {"issued_at": claims["iat"], "expires_at": claims["exp"]}
    jwt = {name: datetime.fromtimestamp(seconds, UTC) for name, seconds in times.items()}
    return {"user": user.model_dump(), "jwt": jwt, "credential": "jwt"}


@app.get("/get_orchestrator")
async def get_orchestrator(user: OptionalUser) -> dict[str, object]:
    counters.greetings += 1
    return {"message": f"Hello, {user.name if user else 'stranger'}!", "signed_in": user is not None}


@app.websocket("/ws")
async def stream(websocket: WebSocket) -> None:
    user = await listener(websocket)
    await websocket.accept(subprotocol=PROTOCOL if PROTOCOL in websocket.scope["subprotocols"] else None)
    counters.open_sockets += 1
    try:
        with suppress(WebSocketDisconnect):
            while True:
                await websocket.send_json({"for": user.name if user else None, **measurements()})
                counters.pushes += 1
                await asyncio.sleep(PUSH_SECONDS)
                if user and not await has_session(websocket):
                    await websocket.close(SESSION_ENDED, "session ended")
                    break
    finally:
        counters.open_sockets -= 1


async def listener(websocket: WebSocket) -> AuthUser | None:
    """Who opens the socket; None: an anonymous visitor, where they are allowed.

    Asked before accept, so that a refusal is a real HTTP answer. A foreign page's handshake is refused too, since
    browsers send cookies with it and no CORS rule applies: by the wheel where a cookie came, else here.
    """
    if identity := await validate_websocket(websocket):
        return identity.user
    if not ALLOW_ANONYMOUS_WS:
        raise HTTPException(status_code=401)
    if websocket.headers.get("origin", FRONTENDS[0]) not in FRONTENDS:
        raise HTTPException(status_code=403)
    return None


async def has_session(websocket: WebSocket) -> bool:
    """Whether the session that opened the socket is still valid.

    The cookie is checked once, at the handshake; without this, a socket would outlive a sign-out, a ban or an expiry.
    A database that does not respond closes no socket.
    """
    try:
        return await validate_websocket(websocket) is not None
    except (StoreUnavailable, SchemaError):
        return True


def measurements() -> dict[str, object]:
    return {
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "uptime_seconds": round(time.monotonic() - started, 1),
        "greetings": counters.greetings,
        "open_sockets": counters.open_sockets,
        "pushes": counters.pushes,
    }
