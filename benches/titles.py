"""What the contenders are called in the report."""

from collections.abc import Mapping

from benches.handwritten import POOL_SIZE

OURS = ("live", "cookie_cache", "seconds", "always")
RIVALS = {"by_hand", "psqlpy", "bridge", "get_session", "jwks"}

TITLES: Mapping[str, str] = {
    "ours": "auth_middleware",
    "ours_prepared": "auth_middleware, prepared_statements=on",
    "by_hand": f"by hand: asyncpg, pool of {POOL_SIZE}",
    "psqlpy": f"by hand: psqlpy, pool of {POOL_SIZE}",
    "bridge": "fastapi-better-auth-bridge",
    "bare": "no dependency",
    "nothing": "a dependency that does nothing",
    "nothing_long": "a dependency that does nothing, shown session_data",
    "live": "auth_middleware, live",
    "cookie_cache": "auth_middleware, cookie_cache",
    "seconds": "auth_middleware, 60 seconds",
    "always": "auth_middleware, always",
    "get_session": "get-session, by httpx",
    "jwks": "PyJWT, JWKS",
}
