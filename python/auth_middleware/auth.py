"""`Auth`: identifies requests by its own settings, into its own models."""

import inspect
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeAlias, TypeVar, final, overload

from starlette.requests import HTTPConnection
from starlette.websockets import WebSocket

from auth_middleware import http_errors
from auth_middleware._core import Core, RequestState
from auth_middleware.configuration import Configuration
from auth_middleware.identification import Identification
from auth_middleware.log_fields import path_in
from auth_middleware.models import AuthSession, AuthUser, CacheSize, Identity, SessionT_co, UserT_co
from auth_middleware.openapi import bound
from auth_middleware.operator_log import OperatorLog
from auth_middleware.parts import Parts
from auth_middleware.session_guards import RequestGuard, WebSocketGuard
from auth_middleware.settings import AuthSettings

OwnUser = TypeVar("OwnUser", bound=AuthUser)
OwnSession = TypeVar("OwnSession", bound=AuthSession)

# What Rust returns: the identity, or a state to await.
_Found: TypeAlias = Identity[SessionT_co, UserT_co] | RequestState


@final
class Auth(Generic[SessionT_co, UserT_co]):
    """Identifies who sent a request, by its own settings and into its own models.

    `current_user`, `optional_user`, `fresh_user` and `current_session` are dependencies with one parameter: for
    `Depends` on HTTP and WebSocket routes, and for a direct `await`. To require more than a session, write a dependency
    that depends on one of them; `Auth` has no subclasses.

    Without `settings`, the environment is read at first use or by `lifespan`, so that a module with an instance can be
    imported without it.

    Raises:
        ConfigurationError: `settings` has a wrong value, or lacks a required one.
    """

    def __init_subclass__(cls) -> None:
        """Refuse subclasses: a dependency would never call their methods."""
        raise TypeError("Auth has no subclasses: write a dependency that depends on current_user")

    @overload
    def __init__(self: "Auth[AuthSession, AuthUser]", settings: AuthSettings | None = None) -> None: ...
    @overload
    def __init__(
        self: "Auth[AuthSession, OwnUser]", settings: AuthSettings | None = None, *, user_model: type[OwnUser]
    ) -> None: ...
    @overload
    def __init__(
        self: "Auth[OwnSession, AuthUser]", settings: AuthSettings | None = None, *, session_model: type[OwnSession]
    ) -> None: ...
    @overload
    def __init__(
        self, settings: AuthSettings | None = None, *, user_model: type[UserT_co], session_model: type[SessionT_co]
    ) -> None: ...
    def __init__(
        self,
        settings: AuthSettings | None = None,
        *,
        user_model: type[Any] = AuthUser,
        session_model: type[Any] = AuthSession,
    ) -> None:
        self._configuration: Configuration[SessionT_co, UserT_co] = Configuration(settings, user_model, session_model)
        for method in (
            Auth.current_user,
            Auth.optional_user,
            Auth.fresh_user,
            Auth.current_session,
            Auth.token_claims,
        ):
            vars(self)[method.__name__] = bound(method, self, self._configuration.accepted)

    @property
    def cookie_name(self) -> str:
        """The name of the session cookie."""
        return self._parts.core.cookie_name

    @property
    def secret_fingerprint(self) -> str:
        """12 hexadecimal digits, to compare the secrets of two deployments. The secret cannot be computed from it."""
        return self._parts.core.secret_fingerprint

    @property
    def counters(self) -> Mapping[str, int]:
        """How many requests had each outcome.

        `identified` (of these, by a cache: `cookie_cache`, `live_cache`), `store_unavailable`, or a refusal's reason.
        """
        return self._parts.core.counters()

    @property
    def cache_size(self) -> CacheSize:
        """The sessions cached in this process, if `freshness` is `live` or a number of seconds."""
        return CacheSize(*self._parts.core.cache_size())

    async def open(self, *, strict: bool = False) -> None:
        """Connect and read the catalog now, so that a wrong configuration is reported at start.

        If the store does not respond yet, or its tables do not exist yet, the application starts all the same: one
        warning is logged, and requests get 503 responses until the store is ready. With `strict` it is an error.

        Raises:
            ConfigurationError: a setting is missing or wrong.
            SchemaError: the tables are not Better Auth's, or our role may not read them; with `strict`, they do not
                exist.
            StoreUnavailable: with `strict`, the store does not respond.
        """
        await self._parts.open(strict=strict)

    async def close(self) -> None:
        """Close the connections. The next use opens them again."""
        self._configuration.close()

    @asynccontextmanager
    async def lifespan(self, app: object) -> AsyncGenerator[None]:
        """A lifespan for FastAPI or Starlette. In a lifespan of your own, call `open` and `close`."""
        parts = self._parts
        parts.cors.check([app])
        await parts.open()
        try:
            yield
        finally:
            parts.core.close()

    async def current_user(self, request: HTTPConnection) -> UserT_co:
        """The user who sent this request.

        The request is identified once, as `freshness` allows: each further call in the same request or WebSocket
        connection returns the same user, even if the session has ended meanwhile. In a long one, call `fresh_user`.

        Raises:
            HTTPException: 401 without a valid session, 403 from an untrusted page, 503 if the store is
                unavailable.
        """
        parts = self._configuration.parts_for_request(request)
        found: _Found[SessionT_co, UserT_co] = parts.core.identify(request.scope)
        return (await parts.identification.required(found, request) if type(found) is RequestState else found).user

    async def optional_user(self, request: HTTPConnection) -> UserT_co | None:
        """The same as `current_user`, but None without a valid session.

        Raises:
            HTTPException: 403 from an untrusted page, 503 if the store is unavailable.
        """
        found: _Found[SessionT_co, UserT_co] = self._core_for(request).identify(request.scope)
        identity = await self._identification.optional(found, request) if type(found) is RequestState else found
        return identity and identity.user

    async def fresh_user(self, request: HTTPConnection) -> UserT_co:
        """The user according to the store now, whatever `freshness` is set.

        Each call queries the store, also in a long response, a background task or a WebSocket. Only a lookup of the
        same session that was not sent yet is shared. The other dependencies of this request then use its result.

        Raises:
            HTTPException: as `current_user`.
            ConfigurationError: there is no database that knows; as an HTTP response, 500.
        """
        core = self._core_for(request)
        if not core.has_database:
            why = (
                "get_fresh_user reads the user's row, and there is no database: set DATABASE_URL, or use "
                "get_current_user, which returns what the JWT claims"
            )
            path = path_in(request.scope)
            self._log.misconfigured(why, {"reason": "configuration_error", "credential": None, "path": path})
            raise http_errors.for_connection(http_errors.Misconfigured(why), request)
        self._identification.begin_recheck(request)
        found = core.identify_by_store(request.scope)
        return (await self._identification.required(found, request)).user

    async def current_session(self, request: HTTPConnection) -> SessionT_co:
        """The session that this request presents. Identified once per request; raises like `current_user`."""
        found: _Found[SessionT_co, UserT_co] = self._core_for(request).identify(request.scope)
        session = (
            await self._identification.required(found, request) if type(found) is RequestState else found
        ).session
        if not session:  # a JWT has none
            raise self._identification.lacks_session(request)
        return session

    async def token_claims(self, request: HTTPConnection) -> dict[str, Any] | None:
        """The claims of the JWT that this request presents, such as its organization; None for other credentials.

        They are a snapshot from when the token was issued. Identified once in a request, and raises, as
        `optional_user`.
        """
        found: _Found[SessionT_co, UserT_co] = self._core_for(request).identify(request.scope)
        identity = await self._identification.optional(found, request) if type(found) is RequestState else found
        return identity and self._core_for(request).token_claims(request.scope)

    def session_cookie(self, connection: HTTPConnection) -> str | None:
        """The session cookie as it stands in the headers; None if there is none, or a bearer token decides instead."""
        cookie = self._core_for(connection).session_cookie(connection.scope)
        if cookie is None:
            self._identification.lacks_cookie(connection)
        return cookie

    async def validate_session(self, cookie_value: str | None) -> Identity[SessionT_co, UserT_co] | None:
        """The session of this signed cookie value, percent-encoded or not; None if there is no valid one.

        Also None if `credentials` does not list `cookie`. Each call validates again, as `freshness` allows. There are
        no headers, so the origin is not checked: WebSocket routes need `validate_websocket`.

        Raises:
            TypeError: the value is not text, but for example a coroutine without `await`.
            StoreUnavailable, SchemaError: the store is unavailable; as an HTTP response, 503.
        """
        _require_text(cookie_value)
        found: _Found[SessionT_co, UserT_co] = self._core_for(None).identify_value(cookie_value or "")
        return await self._identification.optional(found, None) if type(found) is RequestState else found

    async def validate_websocket(self, websocket: WebSocket) -> Identity[SessionT_co, UserT_co] | None:
        """The identity of whoever opens this WebSocket; None without a valid session. The origin is checked as well.

        Each call validates again, as `freshness` allows.

        Raises:
            OriginRefused: the page that opens it is not trusted; as an HTTP response, 403.
            StoreUnavailable, SchemaError: the store is unavailable; as an HTTP response, 503.

        After `accept` there are no responses: an error that is not caught closes the socket, with code 1008, or 1013 if
        the store is unavailable.
        """
        found: _Found[SessionT_co, UserT_co] = self._core_for(websocket).identify_anew(websocket.scope)
        identity = await self._identification.optional(found, websocket) if type(found) is RequestState else found
        self._identification.validated(websocket, identity)
        return identity

    def guard_websocket(
        self,
        websocket: WebSocket,
        subprotocol: str | None = None,
        headers: Iterable[tuple[bytes, bytes]] | None = None,
    ) -> WebSocketGuard[SessionT_co, UserT_co]:
        """The same as `auth_middleware.guard_websocket`, by this instance."""
        identification = self._configuration.parts_for_request(websocket).identification
        return WebSocketGuard(identification, websocket, subprotocol, headers)

    def guard_request(self, request: HTTPConnection) -> RequestGuard[SessionT_co, UserT_co]:
        """The same as `auth_middleware.guard_request`, by this instance."""
        return RequestGuard(self._configuration.parts_for_request(request).identification, request)

    def disconnect(self, *, user_id: str | None = None, session_id: str | None = None) -> int:
        """Close the guarded connections of a user or of a session, for rules of the application's own.

        Closes only connections of this process and this instance. They end as if the session had ended. May be called
        from any thread.

        Returns:
            How many connections were closed.

        Raises:
            TypeError: neither is given, or both are.
        """
        return self._core_for(None).disconnect(user_id=user_id, session_id=session_id)

    @property
    def guarded_connections(self) -> int:
        """The number of connections that this instance guards in this process."""
        return self._core_for(None).guarded_connections

    @property
    def _parts(self) -> Parts[SessionT_co, UserT_co]:
        return self._configuration.parts()

    def _core_for(self, connection: HTTPConnection | None) -> Core:
        """For a request: a missing setting is a 500 response."""
        return self._configuration.parts_for_request(connection).core

    @property
    def _identification(self) -> Identification[SessionT_co, UserT_co]:
        return self._parts.identification

    @property
    def _log(self) -> OperatorLog:
        return self._parts.log


def _require_text(cookie_value: object) -> None:
    if cookie_value is None or isinstance(cookie_value, str):
        return
    if inspect.iscoroutine(cookie_value):
        cookie_value.close()
    if inspect.isawaitable(cookie_value):
        raise TypeError(
            "validate_session needs the cookie's value, but was given a coroutine: an `await` is missing. "
            "Write validate_session(await get_session_from_cookie(request))"
        )
    raise TypeError(f"validate_session needs the cookie's value, a str or None, not {type(cookie_value).__name__}")
