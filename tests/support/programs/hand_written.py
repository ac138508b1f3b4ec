"""An application that was written for a hand-written module of its own. Only the imports have changed.

It reads the environment at import, so tests run it as a process: `uvicorn tests.support.programs.hand_written:app`.
"""

from typing import Any, Optional

from fastapi import Depends, FastAPI, HTTPException, Request, WebSocket

from auth_middleware import (
    SESSION_COOKIE_NAME,
    AuthSession,
    AuthUser,
    get_current_user,
    get_optional_user,
    get_session_from_cookie,
    validate_session,
)

app = FastAPI()


@app.get("/health")
async def health() -> dict[str, str]:
    return {"cookie": SESSION_COOKIE_NAME}


@app.get("/api/me")
async def me(user: AuthUser = Depends(get_current_user)) -> dict[str, Any]:  # noqa: B008 - unchanged from the original
    return {"user": user.model_dump()}


@app.get("/api/greeting")
async def greeting(user: Optional[AuthUser] = Depends(get_optional_user)) -> dict[str, Any]:  # noqa: B008, UP045 - unchanged from the original
    return {"hello": user.name if user else "stranger"}


@app.get("/api/awaited")
async def awaited(request: Request) -> dict[str, Any]:
    user = await get_current_user(request)
    return {"user": user.model_dump()}


@app.get("/api/chained")
async def chained(request: Request) -> dict[str, Any]:
    token = await get_session_from_cookie(request)
    if not token:
        raise HTTPException(status_code=401, detail="no cookie")
    result = await validate_session(token)
    if result is None:
        raise HTTPException(status_code=401, detail="no session")
    session, user = result
    assert isinstance(session, AuthSession)
    assert isinstance(user, AuthUser)
    return {"session": session.id, "user": user.id}


@app.websocket("/ws")
async def ws(websocket: WebSocket) -> None:
    await websocket.accept()
    token = websocket.cookies.get(SESSION_COOKIE_NAME)
    result = await validate_session(token) if token else None
    if result is None:
        await websocket.close(code=4401)
        return
    _session, user = result
    await websocket.send_json({"user": user.id})
    await websocket.close()
