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

# Without `freshness=live`, which detects a sign-out immediately, the sessions of open sockets are checked this often.
os.environ.setdefault("AUTH_MIDDLEWARE_RECHECK_SECONDS", "0.5")

from auth_middleware import (
    AuthUser,
    get_current_session,
    get_current_user,
    get_optional_user,
    get_session_from_cookie,
    get_token_claims,
    guard_websocket,
    lifespan,
)

FRONTENDS = os.environ["FRONTEND_URL"].split(",")
# If this API is on another site than the auth service and accepts no cookies, pages need not send them.
ACCEPTS_COOKIES = "cookie" in (os.environ.get("AUTH_MIDDLEWARE_CREDENTIALS") or "cookie")
# The protocol that pages offer beside the one with their token: the server must select one of the offered protocols.
PROTOCOL = "orchestrator"
# Off by default: the stream is for those who are signed in.
ALLOW_ANONYMOUS_WS = os.environ.get("ALLOW_ANONYMOUS_WS") == "1"
PUSH_SECONDS = 1.0

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
    """The user of the request's credential, and how long it is valid. All dependencies here share one lookup."""
    if claims is None:
        session = await get_current_session(request)
        shown = session.model_dump(include={"id", "created_at", "updated_at", "expires_at"})
        credential = "cookie" if await get_session_from_cookie(request) else "bearer"
        return {"user": user.model_dump(), "session": shown, "credential": credential}
    # A JWT has no session. `exp` is always present, `iat` if Better Auth issued it.
    times = {"issued_at": claims["iat"], "expires_at": claims["exp"]}
    jwt = {name: datetime.fromtimestamp(seconds, UTC) for name, seconds in times.items()}
    return {"user": user.model_dump(), "jwt": jwt, "credential": "jwt"}


@app.get("/get_orchestrator")
async def get_orchestrator(user: OptionalUser) -> dict[str, object]:
    counters.greetings += 1
    return {"message": f"Hello, {user.name if user else 'stranger'}!", "signed_in": user is not None}


@app.websocket("/ws")
async def stream(websocket: WebSocket) -> None:
    subprotocol = PROTOCOL if PROTOCOL in websocket.scope["subprotocols"] else None
    # The guard shares this lookup.
    if ALLOW_ANONYMOUS_WS and not await get_optional_user(websocket):
        # Browsers open a WebSocket from any page. Without a cookie, the package does not check the origin.
        if websocket.headers.get("origin", FRONTENDS[0]) not in FRONTENDS:
            raise HTTPException(status_code=403)
        await websocket.accept(subprotocol)
        return await push(websocket, None)
    # Closes the socket with code 4001 when the session that opened it ends.
    async with guard_websocket(websocket, subprotocol) as identity:
        await push(websocket, identity.user.name)


async def push(websocket: WebSocket, name: str | None) -> None:
    counters.open_sockets += 1
    try:
        with suppress(WebSocketDisconnect):
            while True:
                await websocket.send_json({"for": name, **measurements()})
                counters.pushes += 1
                await asyncio.sleep(PUSH_SECONDS)
    finally:
        counters.open_sockets -= 1


def measurements() -> dict[str, object]:
    return {
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "uptime_seconds": round(time.monotonic() - started, 1),
        "greetings": counters.greetings,
        "open_sockets": counters.open_sockets,
        "pushes": counters.pushes,
    }
