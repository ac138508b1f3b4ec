"""A bearer token of Better Auth's jwt plugin, verified with PyJWT as its documentation shows."""

import os
from importlib import import_module
from typing import Any

from fastapi import FastAPI, HTTPException, Request

from benches.contenders.applications import protected
from benches.contenders.hand_written import User

# Installed by `make bench` only.
jwt: Any = import_module("jwt")


def application() -> FastAPI:
    issuer = os.environ["ISSUER_URL"]
    keys = jwt.PyJWKClient(os.environ["JWKS_URL"])

    async def get_current_user(request: Request) -> User:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise HTTPException(401)
        try:
            key = keys.get_signing_key_from_jwt(token)
            claims = jwt.decode(token, key, algorithms=["EdDSA"], audience=issuer, issuer=issuer)
        except jwt.PyJWTError:
            raise HTTPException(401) from None
        return User(
            id=claims["sub"],
            name=claims["name"],
            email=claims["email"],
            email_verified=claims["emailVerified"],
            image=claims["image"],
            created_at=claims["createdAt"],
            updated_at=claims["updatedAt"],
        )

    return protected(get_current_user)
