"""An explicit instance: its dependencies and validators, for applications that want more than the default."""

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, final, overload

from fastapi.security import APIKeyCookie
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocket

from auth_middleware import http_errors
from auth_middleware._core import Refused
from auth_middleware.authenticator import Authenticator
from auth_middleware.errors import AuthError
from auth_middleware.models import AuthSession, AuthUser, Identity, SessionT_co, UserT_co
from auth_middleware.settings import AuthSettings

OwnUser = TypeVar("OwnUser", bound=AuthUser)
OwnSession = TypeVar("OwnSession", bound=AuthSession)
Dependency = TypeVar("Dependency", bound=Callable[..., Awaitable[Any]])


def documented(dependency: Dependency, cookie_name: str) -> Dependency:
    """Show the lock and the cookie's name in `/docs`, without the cost of a sub-dependency.

    FastAPI takes what a dependency wraps for its security scheme, and its signature for its own.
    """
    scheme = APIKeyCookie(name=cookie_name, scheme_name="Better Auth session", auto_error=False)
    plain: Any = dependency
    plain.__signature__ = inspect.signature(dependency)
    plain.__wrapped__ = scheme
    return dependency


@final
class Auth(Authenticator[SessionT_co, UserT_co]):
    """Who sent this request? By settings of one's own, into models of one's own.

    `current_user`, `optional_user` and `current_session` are dependencies with one parameter: for
    `Depends` on HTTP and WebSocket routes, and for a direct `await`. So is `fresh_user`, for routes
    that must know what the store says now whatever `freshness` is set.

    To ask for more than a session, write a dependency of your own that depends on one of these: a subclass is
    refused, since an answer that is at hand would not come by its methods.

    Raises:
        ConfigurationError: a setting is missing or wrong.
    """

    def __init_subclass__(cls) -> None:
        """
        Raises:
            TypeError: always.
        """
        raise TypeError("Auth has no subclasses: write a dependency that depends on current_user")

    @overload
    def __init__(self: "Auth[AuthSession, AuthUser]", settings: AuthSettings | None = None) -> None: ...
    @overload
    def __init__(
        self: "Auth[AuthSession, OwnUser]",
        settings: AuthSettings | None = None,
        *,
        user_model: type[OwnUser],
    ) -> None: ...
    @overload
    def __init__(
        self: "Auth[OwnSession, AuthUser]",
        settings: AuthSettings | None = None,
        *,
        session_model: type[OwnSession],
    ) -> None: ...
    @overload
    def __init__(
        self,
        settings: AuthSettings | None = None,
        *,
        user_model: type[UserT_co],
        session_model: type[SessionT_co],
    ) -> None: ...
    def __init__(
        self,
        settings: AuthSettings | None = None,
        *,
        user_model: type[Any] = AuthUser,
        session_model: type[Any] = AuthSession,
    ) -> None:
        super().__init__(settings, user_model, session_model)

        async def optional_user(request: HTTPConnection) -> UserT_co | None:
            identity = self.at_hand(request) or await self.optional_identity(request)
            return identity and identity.user

        async def current_user(request: HTTPConnection) -> UserT_co:
            return (self.at_hand(request) or await self.current_identity(request)).user

        async def fresh_user(request: HTTPConnection) -> UserT_co:
            return (await self.fresh_identity(request)).user

        async def current_session(request: HTTPConnection) -> SessionT_co:
            return (self.at_hand(request) or await self.current_identity(request)).session

        self.optional_user = documented(optional_user, self.cookie_name)
        self.current_user = documented(current_user, self.cookie_name)
        self.fresh_user = documented(fresh_user, self.cookie_name)
        self.current_session = documented(current_session, self.cookie_name)

    async def current_identity(self, request: HTTPConnection) -> Identity[SessionT_co, UserT_co]:
        """Who sent this request; as HTTP answers, 401 when nobody did, 403 and 503 as below."""
        try:
            return _required(await self.identify(request))
        except AuthError as error:
            raise http_errors.from_error(error, self._core.retry_after_seconds) from error

    async def optional_identity(self, request: HTTPConnection) -> Identity[SessionT_co, UserT_co] | None:
        """Who sent this request; None when nobody did."""
        try:
            return _optional(await self.identify(request))
        except AuthError as error:
            raise http_errors.from_error(error, self._core.retry_after_seconds) from error

    async def fresh_identity(self, request: HTTPConnection) -> Identity[SessionT_co, UserT_co]:
        """Who sent this request, by what the store says now."""
        try:
            return _required(await self.identify_from_store(request))
        except AuthError as error:
            raise http_errors.from_error(error, self._core.retry_after_seconds) from error

    async def validate_session(self, cookie_value: str | None) -> Identity[SessionT_co, UserT_co] | None:
        """Whose signed cookie value this is, percent-encoded or not; None when it is no good
        or there is none.

        It sees no headers and so checks no origin: WebSocket routes want `validate_websocket`.

        Raises:
            StoreUnavailable, SchemaError: the store cannot say; as an HTTP answer, 503.
        """
        try:
            return _optional(await self.identify_value(cookie_value))
        except AuthError as error:
            raise http_errors.from_error(error, self._core.retry_after_seconds) from error

    async def validate_websocket(self, websocket: WebSocket) -> Identity[SessionT_co, UserT_co] | None:
        """Who opens this WebSocket; None when nobody: refuse before `accept`. Decided at each call, by what
        `freshness` allows.

        Raises:
            OriginRefused: a page that is not ours opens it; as an HTTP answer, 403.
            StoreUnavailable, SchemaError: the store cannot say; as an HTTP answer, 503.
        """
        try:
            return _optional(await self.identify_again(websocket))
        except AuthError as error:
            raise http_errors.from_error(error, self._core.retry_after_seconds) from error


def _optional(
    outcome: Identity[SessionT_co, UserT_co] | Refused,
) -> Identity[SessionT_co, UserT_co] | None:
    return None if isinstance(outcome, Refused) else outcome


def _required(outcome: Identity[SessionT_co, UserT_co] | Refused) -> Identity[SessionT_co, UserT_co]:
    if isinstance(outcome, Refused):
        raise http_errors.not_authenticated() if outcome.is_anonymous else http_errors.invalid_session()
    return outcome
