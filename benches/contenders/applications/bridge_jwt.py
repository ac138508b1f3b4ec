"""fastapi-better-auth-bridge with a JWT, used as in its README."""

import os
from importlib import import_module
from typing import Any

from fastapi import FastAPI

from benches.contenders.applications import protected

# Installed by `make bench` only.
package: Any = import_module("fastapi_better_auth")


class ServedElsewhere(package.HttpxTransport):
    """It always fetches the keys from /api/auth/jwks. The benchmark's server has them at another path."""

    async def get(self, url: str, **options: Any) -> Any:
        return await super().get(url.replace("/api/auth/", "/jwks/api/auth/"), **options)


def application() -> FastAPI:
    verifier = package.JwtVerifier(base_url=os.environ["ISSUER_URL"], transport=ServedElsewhere())
    return protected(package.BetterAuth(verifiers=[verifier]).current_session(), name="user.name")
