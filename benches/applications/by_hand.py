"""The hand-written middleware behind the dependency that people write with it."""

import os

from fastapi import FastAPI, HTTPException, Request

from benches.applications import between, protected
from benches.handwritten import Middleware, User
from tests.support.cookies import COOKIE_NAME


def application() -> FastAPI:
    middleware: Middleware

    async def open_() -> None:
        nonlocal middleware
        middleware = await Middleware.open(os.environ["DATABASE_URL"], os.environ["BETTER_AUTH_SECRET"])

    async def close() -> None:
        await middleware.close()

    async def get_current_user(request: Request) -> User:
        cookie_value = request.cookies.get(COOKIE_NAME)
        signed_in = await middleware.validate_session(cookie_value) if cookie_value else None
        if signed_in is None:
            raise HTTPException(401)
        return signed_in.user

    return protected(get_current_user, between(open_, close))
