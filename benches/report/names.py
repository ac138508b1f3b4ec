"""The contenders' names in the report."""

from collections.abc import Mapping

from benches.contenders.hand_written import POOL_SIZE

OURS = ("live", "cookie_cache", "seconds", "always")
ALTERNATIVES = {"hand_written", "psqlpy", "bridge", "get_session", "jwks"}

NAMES: Mapping[str, str] = {
    "ours": "auth_middleware",
    "ours_prepared": "auth_middleware, prepared_statements=on",
    "hand_written": f"hand-written: asyncpg, pool of {POOL_SIZE}",
    "psqlpy": f"hand-written: psqlpy, pool of {POOL_SIZE}",
    "bridge": "fastapi-better-auth-bridge",
    "no_dependency": "no dependency",
    "empty_dependency": "empty dependency",
    "empty_dependency_session_data": "empty dependency, with session_data",
    "live": "auth_middleware, live",
    "cookie_cache": "auth_middleware, cookie_cache",
    "seconds": "auth_middleware, 60 seconds",
    "always": "auth_middleware, always",
    "get_session": "get-session over httpx",
    "jwks": "PyJWT, JWKS",
    "empty_dependency_jwt": "empty dependency, with a JWT",
    "jwt_claims": "auth_middleware, JWT, claims",
    "jwt_always": "auth_middleware, JWT, always",
    "bridge_jwt": "fastapi-better-auth-bridge, JWT",
}
