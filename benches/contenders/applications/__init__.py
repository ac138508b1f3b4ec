"""One FastAPI application for each contender, with the same route and the same response.

    uvicorn --factory benches.contenders.applications.hand_written:application

Each is a module of its own, so that its process does not import the other contenders.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from operator import attrgetter
from typing import Annotated, Any

from fastapi import Depends, FastAPI

Lifespan = Callable[[FastAPI], Any]


def protected(dependency: Callable[..., Any], lifespan: Lifespan | None = None, name: str = "name") -> FastAPI:
    """An application whose route returns the user's name. `name` is the attribute path in the dependency's result."""
    name_of = attrgetter(name)
    app = FastAPI(lifespan=lifespan)

    @app.get("/me")
    async def me(user: Annotated[Any, Depends(dependency)]) -> dict[str, str]:
        return {"name": name_of(user)}

    return app


async def _nothing() -> None: ...


def lifespan_of(open_: Callable[[], Any] = _nothing, close: Callable[[], Any] = _nothing) -> Lifespan:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None]:
        await open_()
        try:
            yield
        finally:
            await close()

    return lifespan
