"""The wheel, by the environment's settings."""

from fastapi import FastAPI

from auth_middleware import get_current_user, lifespan
from benches.applications import protected


def application() -> FastAPI:
    return protected(get_current_user, lifespan)
