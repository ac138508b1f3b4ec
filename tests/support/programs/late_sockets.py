"""WebSockets that are accepted before anybody asks who opened them."""

import asyncio

from fastapi import FastAPI, HTTPException, WebSocket

from auth_middleware import (
    StoreUnavailable,
    get_current_session,
    get_current_user,
    get_fresh_user,
    get_optional_user,
    lifespan,
    validate_websocket,
)

app = FastAPI(lifespan=lifespan)
FUNCTIONS = {
    "current": get_current_user,
    "optional": get_optional_user,
    "session": get_current_session,
    "fresh": get_fresh_user,
    "validated": validate_websocket,
}


@app.get("/ready")
async def ready() -> str:
    return "ready"


@app.websocket("/late/{name}")
async def late(websocket: WebSocket, name: str) -> None:
    await websocket.accept()
    await websocket.send_json(await FUNCTIONS[name](websocket) is not None)


@app.websocket("/caught/{name}")
async def caught(websocket: WebSocket, name: str) -> None:
    await websocket.accept()
    try:
        await FUNCTIONS[name](websocket)
    except StoreUnavailable as error:
        await websocket.send_json(["StoreUnavailable", str(error)])
    except HTTPException as error:
        await websocket.send_json([error.status_code, error.detail, str(error)])
    await websocket.send_json(await websocket.receive_json())


@app.websocket("/loop/{name}")
async def loop(websocket: WebSocket, name: str) -> None:
    if not await validate_websocket(websocket):
        raise HTTPException(401)
    await websocket.accept()
    while True:
        await websocket.receive_text()
        await websocket.send_json(await FUNCTIONS[name](websocket) is not None)
        await asyncio.sleep(0)
