"""fastapi-better-auth-bridge, used as in its README."""

import os

from fastapi import FastAPI

from benches.contenders.applications import lifespan_of, protected
from benches.contenders.bridge import Bridge


def application() -> FastAPI:
    bridge = Bridge(os.environ["DATABASE_URL"], os.environ["BETTER_AUTH_SECRET"])
    return protected(bridge.dependency, lifespan_of(bridge.open, bridge.close), "user.name")
