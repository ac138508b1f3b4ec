"""The default instance, made from the environment at first use, and its functions."""

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

from starlette.requests import HTTPConnection

from auth_middleware import http_errors
from auth_middleware.auth import Auth, documented
from auth_middleware.errors import ConfigurationError
from auth_middleware.models import AuthSession, AuthUser, Identity
from auth_middleware.settings import session_cookie_name

logger = logging.getLogger("auth_middleware")

# Worked out at import, for code that reads the cookie itself.
SESSION_COOKIE_NAME = session_cookie_name()


@cache
def get_auth() -> Auth:
    """The default instance. Override it in `app.dependency_overrides` to give an application another.

    Raises:
        ConfigurationError: a setting is missing or wrong.
    """
    return Auth()


def auth_of(app: object) -> Auth[Any, Any]:
    """The instance that an application uses: its override of `get_auth`, else the default.

    Raises:
        ConfigurationError: a setting is missing or wrong.
    """
    overrides = getattr(app, "dependency_overrides", None)
    return overrides.get(get_auth, get_auth)() if overrides else get_auth()


@cache
def _tell_once(problem: str) -> None:
    logger.critical("every request is answered 500: %s", problem)


def serving(connection: HTTPConnection | None) -> Auth[Any, Any]:
    """The instance that serves a connection; the default where there is none.

    Raises:
        Misconfigured: a `ConfigurationError` that is the answer 500.
    """
    try:
        return auth_of(None if connection is None else connection.scope.get("app"))
    except ConfigurationError as error:
        _tell_once(str(error))
        raise http_errors.misconfigured() from error


@asynccontextmanager
async def lifespan(app: object) -> AsyncGenerator[None]:
    """Open at start what the dependencies need, so that trouble shows then.

    Raises:
        ConfigurationError: a setting is missing or wrong.
        SchemaError: the store answers, and its tables are not Better Auth's.
    """
    async with auth_of(app).lifespan(app):
        yield


async def get_current_user(request: HTTPConnection) -> AuthUser:
    """The user who sent this request.

    Raises:
        HTTPException: 401 when nobody did, 403 when a page that is not ours did, 503 when the
            store cannot say.
    """
    auth = serving(request)
    return (auth.at_hand(request) or await auth.current_identity(request)).user


async def get_optional_user(request: HTTPConnection) -> AuthUser | None:
    """The user who sent this request, or None when nobody did.

    Raises:
        HTTPException: 403 when a page that is not ours did, 503 when the store cannot say.
    """
    auth = serving(request)
    identity = auth.at_hand(request) or await auth.optional_identity(request)
    return identity and identity.user


async def get_fresh_user(request: HTTPConnection) -> AuthUser:
    """The user, by what the store says now, whatever `freshness` is set. Raises as `get_current_user` does."""
    return (await serving(request).fresh_identity(request)).user


async def get_current_session(request: HTTPConnection) -> AuthSession:
    """The session that this request shows. Raises as `get_current_user` does."""
    auth = serving(request)
    return (auth.at_hand(request) or await auth.current_identity(request)).session


async def get_session_from_cookie(request: HTTPConnection) -> str | None:
    """The request's signed session cookie as it stands in the headers; None when there is none.

    The first of two cookies with one name wins, as at Better Auth.
    """
    return serving(request).session_cookie(request)


async def validate_session(cookie_value: str | None) -> Identity | None:
    """Whose signed cookie value this is, percent-encoded or not; None when it is no good
    or there is none.

    It sees no headers and so checks no origin: WebSocket routes want `validate_websocket`.

    Raises:
        StoreUnavailable, SchemaError: the store cannot say; as an HTTP answer, 503.
    """
    return await serving(None).validate_session(cookie_value)


for _dependency in (get_current_user, get_optional_user, get_fresh_user, get_current_session):
    documented(_dependency, SESSION_COOKIE_NAME)
