"""One application for each way to protect a route: the same route, the same answer.

    uvicorn --factory benches.applications.by_hand:application

Each is a module, so that a process imports nothing of the others.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from operator import attrgetter
from typing import Annotated, Any

from fastapi import Depends, FastAPI

Lifespan = Callable[[FastAPI], Any]


def protected(dependency: Callable[..., Any], lifespan: Lifespan | None = None, name: str = "name") -> FastAPI:
    """Answers with the name of whom the dependency gives; `name` is where that is."""
    name_of = attrgetter(name)
    app = FastAPI(lifespan=lifespan)

    @app.get("/me")
    async def me(user: Annotated[Any, Depends(dependency)]) -> dict[str, str]:
        return {"name": name_of(user)}

    return app


async def _nothing() -> None: ...


def between(open_: Callable[[], Any] = _nothing, close: Callable[[], Any] = _nothing) -> Lifespan:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None]:
        await open_()
        try:
            yield
        finally:
            await close()

    return lifespan
