"""An unprotected route without any dependency."""

from fastapi import FastAPI


def application() -> FastAPI:
    app = FastAPI()

    @app.get("/me")
    async def me() -> dict[str, str]:
        return {"name": "nobody"}

    return app
