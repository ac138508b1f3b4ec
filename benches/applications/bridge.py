"""fastapi-better-auth-bridge, as its README shows it."""

import os

from fastapi import FastAPI

from benches.applications import between, protected
from benches.contenders.bridge import Bridge


def application() -> FastAPI:
    bridge = Bridge(os.environ["DATABASE_URL"], os.environ["BETTER_AUTH_SECRET"])
    return protected(bridge.dependency, between(bridge.open, bridge.close), "user.name")
