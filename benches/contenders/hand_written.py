"""The middleware that people write by hand, done well.

It uses an asyncpg pool, verifies the cookie's signature, reads the session and its user in one statement, and returns
two pydantic models.
"""

import base64
import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple, Self
from urllib.parse import unquote

import asyncpg  # pyright: ignore[reportMissingTypeStubs]
from pydantic import BaseModel

POOL_SIZE = 10

QUERY = """
SELECT s."id" AS session_id, s."token", s."expiresAt", s."ipAddress", s."userAgent",
       s."createdAt" AS session_created_at, s."updatedAt" AS session_updated_at,
       u."id" AS user_id, u."name", u."email", u."emailVerified", u."image",
       u."createdAt" AS user_created_at, u."updatedAt" AS user_updated_at
FROM "session" s JOIN "user" u ON u."id" = s."userId"
WHERE s."token" = $1 AND s."expiresAt" > now()
"""


class User(BaseModel):
    id: str
    name: str
    email: str
    email_verified: bool
    image: str | None
    created_at: datetime
    updated_at: datetime


class Session(BaseModel):
    id: str
    user_id: str
    token: str
    expires_at: datetime
    ip_address: str | None
    user_agent: str | None
    created_at: datetime
    updated_at: datetime


class SignedIn(NamedTuple):
    session: Session
    user: User


class Middleware:
    """`validate_session` takes the cookie's value as sent in the header, percent-encoded."""

    def __init__(self, pool: Any, secret: str) -> None:
        self._pool = pool
        self._secret = secret.encode()

    @classmethod
    async def open(cls, dsn: str, secret: str) -> Self:
        driver: Any = asyncpg
        return cls(await driver.create_pool(dsn, min_size=POOL_SIZE, max_size=POOL_SIZE), secret)

    async def close(self) -> None:
        await self._pool.close()

    async def validate_session(self, cookie_value: str) -> SignedIn | None:
        token = signed_token(cookie_value, self._secret)
        if token is None:
            return None
        async with self._pool.acquire() as connection:
            row: Mapping[str, Any] | None = await connection.fetchrow(QUERY, token)
        return None if row is None else signed_in(row)


def signed_token(cookie_value: str, secret: bytes) -> str | None:
    token, _, signature = unquote(cookie_value).rpartition(".")
    expected = base64.b64encode(hmac.digest(secret, token.encode(), "sha256")).decode()
    return token if hmac.compare_digest(signature.encode(), expected.encode()) else None


def signed_in(row: Mapping[str, Any]) -> SignedIn:
    session = Session(
        id=row["session_id"],
        user_id=row["user_id"],
        token=row["token"],
        expires_at=row["expiresAt"],
        ip_address=row["ipAddress"],
        user_agent=row["userAgent"],
        created_at=row["session_created_at"],
        updated_at=row["session_updated_at"],
    )
    user = User(
        id=row["user_id"],
        name=row["name"],
        email=row["email"],
        email_verified=row["emailVerified"],
        image=row["image"],
        created_at=row["user_created_at"],
        updated_at=row["user_updated_at"],
    )
    return SignedIn(session, user)
