"""The API of one mode: the settings come from the environment. Everything that our logger writes goes to the log."""

import asyncio
import logging
from typing import Annotated

from fastapi import Depends, FastAPI, WebSocket

from auth_middleware import Auth, AuthUser


class Member(AuthUser):
    role: str | None = None


logging.basicConfig(level=logging.DEBUG)
auth = Auth(user_model=Member)
app = FastAPI(lifespan=auth.lifespan)


@app.get("/current")
async def current(user: Annotated[Member, Depends(auth.current_user)]) -> dict[str, str | None]:
    return {"id": user.id, "role": user.role}


@app.get("/fresh")
async def fresh(user: Annotated[Member, Depends(auth.fresh_user)]) -> dict[str, str | None]:
    return {"id": user.id, "role": user.role}


@app.get("/optional")
async def optional(user: Annotated[Member | None, Depends(auth.optional_user)]) -> dict[str, str | None] | None:
    return user and {"id": user.id, "role": user.role}


@app.websocket("/guarded")
async def guarded(websocket: WebSocket) -> None:
    async with auth.guard_websocket(websocket) as identity:
        while True:
            await websocket.send_json({"id": identity.user.id})
            await asyncio.sleep(0.5)
