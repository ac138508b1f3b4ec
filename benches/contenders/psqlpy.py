"""The hand-written middleware with psqlpy, a PostgreSQL driver that is written in Rust."""

from importlib import import_module
from typing import Any

from benches.contenders.hand_written import POOL_SIZE, QUERY, SignedIn, signed_in, signed_token

# Installed by `make bench` only.
driver: Any = import_module("psqlpy")


class Middleware:
    """Like `hand_written.Middleware`, but psqlpy opens connections on demand."""

    def __init__(self, dsn: str, secret: str) -> None:
        self._pool = driver.ConnectionPool(dsn=dsn, max_db_pool_size=POOL_SIZE)
        self._secret = secret.encode()

    def close(self) -> None:
        self._pool.close()

    async def validate_session(self, cookie_value: str) -> SignedIn | None:
        token = signed_token(cookie_value, self._secret)
        if token is None:
            return None
        async with self._pool.acquire() as connection:
            rows = (await connection.fetch(QUERY, [token])).result()
        return signed_in(rows[0]) if rows else None
