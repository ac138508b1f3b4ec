"""Identifies the users of a Better Auth server in FastAPI applications."""

from typing import TYPE_CHECKING

from auth_middleware import dependencies
from auth_middleware._core import __version__
from auth_middleware.auth import Auth
from auth_middleware.dependencies import (
    get_auth,
    get_current_session,
    get_current_user,
    get_fresh_user,
    get_optional_user,
    get_session_from_cookie,
    get_token_claims,
    lifespan,
    validate_session,
)
from auth_middleware.errors import (
    AuthError,
    ConfigurationError,
    OriginRefused,
    SchemaError,
    StoreUnavailable,
)
from auth_middleware.guards import guard_request, guard_websocket
from auth_middleware.http_errors import http_response
from auth_middleware.middleware import AuthMiddleware
from auth_middleware.models import AuthSession, AuthUser, Identity
from auth_middleware.session_guards import RequestGuard, WebSocketGuard
from auth_middleware.settings import AuthSettings
from auth_middleware.websockets import validate_websocket

__all__ = [
    "SESSION_COOKIE_NAME",
    "Auth",
    "AuthError",
    "AuthMiddleware",
    "AuthSession",
    "AuthSettings",
    "AuthUser",
    "ConfigurationError",
    "Identity",
    "OriginRefused",
    "RequestGuard",
    "SchemaError",
    "StoreUnavailable",
    "WebSocketGuard",
    "__version__",
    "get_auth",
    "get_current_session",
    "get_current_user",
    "get_fresh_user",
    "get_optional_user",
    "get_session_from_cookie",
    "get_token_claims",
    "guard_request",
    "guard_websocket",
    "http_response",
    "lifespan",
    "validate_session",
    "validate_websocket",
]

if TYPE_CHECKING:
    SESSION_COOKIE_NAME: str
else:

    def __getattr__(name: str) -> str:
        """`SESSION_COOKIE_NAME`, computed from the environment when it is imported, not when the package is."""
        if name == "SESSION_COOKIE_NAME":
            return dependencies.SESSION_COOKIE_NAME
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
