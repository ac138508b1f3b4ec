"""A route that anybody may use."""

from fastapi import FastAPI


def application() -> FastAPI:
    app = FastAPI()

    @app.get("/me")
    async def me() -> dict[str, str]:
        return {"name": "nobody"}

    return app
