"""Calls Better Auth's get-session endpoint for each request, with the user's cookie."""

import os

import httpx
from fastapi import FastAPI, HTTPException, Request

from benches.contenders.applications import lifespan_of, protected
from benches.contenders.hand_written import User


def application() -> FastAPI:
    client = httpx.AsyncClient(trust_env=False, limits=httpx.Limits(max_keepalive_connections=100), timeout=30)
    url = os.environ["GET_SESSION_URL"]

    async def get_current_user(request: Request) -> User:
        response = await client.get(url, headers={"cookie": request.headers.get("cookie", "")})
        found = response.raise_for_status().json()
        if found is None:
            raise HTTPException(401)
        user = found["user"]
        return User(
            id=user["id"],
            name=user["name"],
            email=user["email"],
            email_verified=user["emailVerified"],
            image=user["image"],
            created_at=user["createdAt"],
            updated_at=user["updatedAt"],
        )

    return protected(get_current_user, lifespan_of(close=client.aclose))
