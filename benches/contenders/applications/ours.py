"""auth_middleware, configured by environment variables."""

from fastapi import FastAPI

from auth_middleware import get_current_user, lifespan
from benches.contenders.applications import protected


def application() -> FastAPI:
    return protected(get_current_user, lifespan)
