"""A guarded WebSocket."""

import asyncio

from fastapi import FastAPI, WebSocket

from auth_middleware import guard_websocket, lifespan

app = FastAPI(lifespan=lifespan)


@app.get("/ready")
async def ready() -> bool:
    return True


@app.websocket("/ws")
async def wait(websocket: WebSocket) -> None:
    async with guard_websocket(websocket):
        await websocket.send_text("open")
        await asyncio.Event().wait()
