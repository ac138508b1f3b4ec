"""fastapi-better-auth-bridge with a JWT, used as in its README."""

import os
from importlib import import_module
from typing import Any

from fastapi import FastAPI

from benches.contenders.applications import protected

# Installed by `make bench` only.
package: Any = import_module("fastapi_better_auth")


class ServedElsewhere:
    """A transport for its verifier, which requests /api/auth/jwks. The benchmark's server has the keys below /jwks."""

    def __init__(self) -> None:
        self._transport: Any = package.HttpxTransport()

    async def get(self, url: str, **options: Any) -> Any:
        return await self._transport.get(url.replace("/api/auth/", "/jwks/api/auth/"), **options)

    async def post(self, url: str, **options: Any) -> Any:
        return await self._transport.post(url, **options)


def application() -> FastAPI:
    verifier = package.JwtVerifier(base_url=os.environ["ISSUER_URL"], transport=ServedElsewhere())
    return protected(package.BetterAuth(verifiers=[verifier]).current_session(), name="user.name")
