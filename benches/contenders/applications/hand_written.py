"""The hand-written middleware behind a hand-written dependency."""

import os

from fastapi import FastAPI, HTTPException, Request

from benches.contenders.applications import lifespan_of, protected
from benches.contenders.hand_written import Middleware, User
from dev.cookies import COOKIE_NAME


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

    return protected(get_current_user, lifespan_of(open_, close))
