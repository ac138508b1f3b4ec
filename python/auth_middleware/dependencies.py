"""The default instance, made from the environment at first use, and its functions."""

import inspect
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from starlette.requests import HTTPConnection

from auth_middleware import http_errors, stand_ins
from auth_middleware._core import RequestState
from auth_middleware.auth import Auth
from auth_middleware.configuration import configuration_of
from auth_middleware.errors import ConfigurationError
from auth_middleware.models import AuthSession, AuthUser, Identity
from auth_middleware.mounts import nearest
from auth_middleware.openapi import Accepted, documented
from auth_middleware.operator_log import MisconfigurationLog
from auth_middleware.settings import accepted_credentials, session_cookie_name

if TYPE_CHECKING:
    SESSION_COOKIE_NAME: str
else:

    def __getattr__(name: str) -> str:
        """`SESSION_COOKIE_NAME`, for code that reads the cookie itself. Computed from the environment on import."""
        if name == "SESSION_COOKIE_NAME":
            return session_cookie_name()
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


# Where a scope has the `AuthMiddleware` that a request passed last.
SCOPE_KEY = "auth_middleware"

_log = MisconfigurationLog()


class Passed(NamedTuple):
    """The `AuthMiddleware` that a request passed last."""

    auth: Auth[Any, Any]
    middleware: object
    app: object
    """The application that it was added to."""


@cache
def get_auth() -> Auth:
    """The default instance. Override it in `app.dependency_overrides` to use another one in an application.

    Raises:
        ConfigurationError: a setting is missing or wrong.
    """
    auth = Auth()
    _read_now = auth.cookie_name
    return auth


def auth_of(app: object) -> Auth[Any, Any]:
    """The instance that an application uses: its override of `get_auth`, or the default.

    Raises:
        ConfigurationError: a setting is missing or wrong.
    """
    overrides = getattr(app, "dependency_overrides", None)
    if not overrides or get_auth not in overrides:
        return get_auth()
    override: object = overrides[get_auth]
    found: object = override() if callable(override) else override
    if callable(override) and isinstance(found, Auth):
        return cast("Auth[Any, Any]", found)
    if inspect.iscoroutine(found):
        found.close()
    what = f"{'returns' if callable(override) else 'is'} an object of type {type(found).__name__}"
    raise ConfigurationError(
        "dependency_overrides[get_auth] must be an ordinary function that returns an Auth, without async or yield, "
        f"such as `lambda: auth`; it {what}"
    )


def _auth_around(scope: Mapping[str, Any], passed: Passed | None) -> Auth[Any, Any]:
    """The instance for a request that passed an `AuthMiddleware`, or whose application is mounted in another one."""

    def overrides(each: object) -> bool:
        return get_auth in getattr(each, "dependency_overrides", ())

    def decides(each: object) -> bool:
        return overrides(each) or bool(
            passed and each is not None and (each is passed.middleware or each is passed.app)
        )

    def decided_by(each: object) -> Auth[Any, Any]:
        return auth_of(each) if overrides(each) or not passed else passed.auth

    auth, *others = map(decided_by, nearest(scope, decides))
    if any(other is not auth for other in others):
        raise ConfigurationError(
            "an application is mounted in several applications that use different instances of Auth, and the path of "
            "this request, which a middleware may have changed, does not tell which of them received it: override "
            "get_auth on the mounted application, or mount a separate application in each"
        )
    return auth


def serving(connection: HTTPConnection | None) -> Auth[Any, Any]:
    """The instance that serves a connection: that of the application, or of the nearest one it is mounted in, that has
    a `get_auth` override or an `AuthMiddleware`. Otherwise, and without a connection, the default one.

    Raises:
        Misconfigured: a `ConfigurationError` that is a 500 response.
    """
    try:
        if connection is None:
            return get_auth()
        scope = connection.scope
        app, router, passed = scope.get("app"), scope.get("router"), scope.get(SCOPE_KEY)
        # Most applications are not mounted in another one, and each request comes through here.
        if get_auth in getattr(app, "dependency_overrides", ()):
            return auth_of(app)
        if passed is None and (router is None or router is getattr(app, "router", None)):
            return get_auth()
        return _auth_around(scope, passed)
    except ConfigurationError as error:
        _log.log(error)
        raise http_errors.for_connection(http_errors.Misconfigured(error), connection) from error


@asynccontextmanager
async def lifespan(app: object) -> AsyncGenerator[None]:
    """Open at start what the dependencies need, so that a wrong configuration is reported then.

    Raises:
        ConfigurationError: a setting is missing or wrong.
        SchemaError: the store responds, but its tables are not Better Auth's.
    """
    async with auth_of(app).lifespan(app):
        yield


async def get_current_user(request: HTTPConnection) -> AuthUser:
    """The user who sent this request.

    The request is identified once, by what `freshness` allows: each further call in the same request or WebSocket
    connection returns the same user, even if the session has ended meanwhile. In a long one, call `get_fresh_user`.

    Raises:
        HTTPException: 401 without a valid session, 403 from an untrusted page, 503 if the store is unavailable.
    """
    # Not `Auth.current_user`: awaiting a second coroutine would slow down every request.
    parts = configuration_of(serving(request)).parts_for_request(request)
    found = parts.core.identify(request.scope)
    return (await parts.identification.required(found, request) if type(found) is RequestState else found).user


async def get_optional_user(request: HTTPConnection) -> AuthUser | None:
    """The same as `get_current_user`, but None without a valid session.

    Raises:
        HTTPException: 403 from an untrusted page, 503 if the store is unavailable.
    """
    return await Auth.optional_user(serving(request), request)


async def get_fresh_user(request: HTTPConnection) -> AuthUser:
    """The user according to the store now, whatever `freshness` is set.

    Each call queries the store, also in a long response, a background task or a WebSocket. Only a lookup of the same
    session that was not sent yet is shared. The other dependencies of this request then use its result.

    Raises:
        HTTPException: as `get_current_user`.
    """
    return await Auth.fresh_user(serving(request), request)


async def get_current_session(request: HTTPConnection) -> AuthSession:
    """The session that this request presents. Identified once per request; raises like `get_current_user`."""
    return await Auth.current_session(serving(request), request)


async def get_token_claims(request: HTTPConnection) -> dict[str, Any] | None:
    """The claims of the JWT that this request presents, such as its organization; None for other credentials.

    They are a snapshot from when the token was issued. Identified once in a request, and raises, as
    `get_optional_user`.
    """
    return await Auth.token_claims(serving(request), request)


async def get_session_from_cookie(request: HTTPConnection) -> str | None:
    """The request's signed session cookie as it stands in the headers; None if there is none.

    The first of two cookies with the same name is used, as Better Auth does. Nothing is checked. None if a bearer token
    decides who sent the request.
    """
    return serving(request).session_cookie(request)


async def validate_session(cookie_value: str | None) -> Identity | None:
    """The session of this signed cookie value, percent-encoded or not; None if there is no valid one.

    Also None if `credentials` does not list `cookie`. Each call decides anew, by what `freshness` allows. There are no
    headers, so the origin is not checked: WebSocket routes need `validate_websocket`.

    Raises:
        TypeError: the value is not text, but for example a coroutine without `await`.
        StoreUnavailable, SchemaError: the store is unavailable; as an HTTP response, 503.
    """
    with stand_ins.chosen_for():
        return await serving(None).validate_session(cookie_value)


def _accepted() -> Accepted:
    return session_cookie_name(), accepted_credentials()


get_current_user = documented(get_current_user, _accepted)
get_optional_user = documented(get_optional_user, _accepted)
get_fresh_user = documented(get_fresh_user, _accepted)
get_current_session = documented(get_current_session, _accepted)
get_token_claims = documented(get_token_claims, _accepted)
