"""`Auth`: identifies requests by its own settings, into its own models."""

import asyncio
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial, update_wrapper
from types import FunctionType
from typing import Annotated, Any, Generic, TypeAlias, TypeVar, final, overload

from fastapi import Depends
from fastapi.security import APIKeyCookie, HTTPBearer
from fastapi.security.base import SecurityBase
from pydantic import BaseModel, ValidationError
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocket

from auth_middleware import http_errors
from auth_middleware._core import Core, Found, Refused, RequestState
from auth_middleware.errors import AuthError, OriginRefused, RowMisfit, SchemaError, StoreUnavailable
from auth_middleware.models import (
    AuthSession,
    AuthUser,
    CacheSize,
    Identity,
    SessionT_co,
    UserT_co,
    accepts_none,
    is_shareable,
    is_shareable_model,
    keys_by_field,
    model_fields,
)
from auth_middleware.settings import AuthSettings
from auth_middleware.telemetry import Telemetry

OwnUser = TypeVar("OwnUser", bound=AuthUser)
OwnSession = TypeVar("OwnSession", bound=AuthSession)
Dependency = TypeVar("Dependency", bound=Callable[..., Awaitable[Any]])

# What Rust returns: the identity, or a state to await. And how a request ends.
_Found: TypeAlias = Identity[SessionT_co, UserT_co] | RequestState
_Outcome: TypeAlias = Identity[SessionT_co, UserT_co] | Refused | AuthError


def documented(dependency: Dependency, cookie_name: str, accepts: tuple[bool, bool]) -> Dependency:
    """Show the locks and the cookie's name in `/docs`. `accepts`: cookies, bearer tokens.

    FastAPI reads the security scheme from `__wrapped__`, and the parameters from `__signature__`. So one lock costs
    nothing in a request; the second is a sub-dependency that does nothing.
    """
    cookie = APIKeyCookie(name=cookie_name, scheme_name="Better Auth session", auto_error=False)
    bearer = HTTPBearer(scheme_name="Better Auth token", auto_error=False)
    first, *more = [lock for lock, is_accepted in zip((cookie, bearer), accepts, strict=True) if is_accepted]
    signature = inspect.signature(dependency, follow_wrapped=False)
    documented: Any = dependency
    if more:
        documented = _with_locks(dependency, [_lock(scheme) for scheme in more], signature)
    else:
        documented.__signature__ = signature
    documented.__wrapped__ = first
    return documented


def _lock(scheme: SecurityBase) -> Any:
    async def lock() -> None: ...

    shown: Any = lock
    shown.__signature__ = inspect.Signature()
    shown.__wrapped__ = scheme
    return lock


def _with_locks(dependency: Callable[..., Awaitable[Any]], locks: list[Any], signature: inspect.Signature) -> Any:
    async def locked(*args: Any, **_locks: None) -> Any:
        return await dependency(*args)

    shown: Any = update_wrapper(locked, dependency)
    parameters = [
        inspect.Parameter(f"lock_{at}", inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[None, Depends(lock)])
        for at, lock in enumerate(locks)
    ]
    shown.__signature__ = signature.replace(parameters=[*signature.parameters.values(), *parameters])
    return shown


def bound(method: Any, auth: "Auth[Any, Any]", accepts: tuple[bool, bool]) -> Any:
    """A method of this instance with its own cookie name in `/docs`. A wrapper would cost each request a coroutine."""
    function = FunctionType(method.__code__, method.__globals__, method.__name__)
    function.__annotations__ = inspect.get_annotations(method)
    dependency: Any = partial(documented(function, auth.cookie_name, accepts), auth)
    dependency.__doc__ = method.__doc__
    dependency.__signature__ = inspect.signature(dependency)
    return dependency


@final
class Auth(Generic[SessionT_co, UserT_co]):
    """Identifies who sent a request, by its own settings and into its own models.

    `current_user`, `optional_user`, `fresh_user` and `current_session` are dependencies with one parameter: for
    `Depends` on HTTP and WebSocket routes, and for a direct `await`. To require more than a session, write a dependency
    that depends on one of them; `Auth` has no subclasses.

    Raises:
        ConfigurationError: a setting is missing or wrong.
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
        values = (settings or AuthSettings()).for_core()
        self._core = Core(values, model_fields(user_model), model_fields(session_model))
        self._user_model = user_model
        self._session_model = session_model
        self._user_keys = keys_by_field(user_model)
        self._session_keys = keys_by_field(session_model)
        self._name_may_be_none = accepts_none(user_model, "name")
        self._may_share = is_shareable_model(user_model) and is_shareable_model(session_model)
        self._telemetry = Telemetry(self._core)
        self._telemetry.warn(self._core.warnings)
        for method in (
            Auth.current_user,
            Auth.optional_user,
            Auth.fresh_user,
            Auth.current_session,
            Auth.token_claims,
        ):
            vars(self)[method.__name__] = bound(method, self, self._core.accepts)

    @property
    def cookie_name(self) -> str:
        """The name of the session cookie."""
        return self._core.cookie_name

    @property
    def secret_fingerprint(self) -> str:
        """12 hexadecimal digits, to compare the secrets of two deployments. The secret cannot be computed from it."""
        return self._core.secret_fingerprint

    @property
    def counters(self) -> Mapping[str, int]:
        """How many requests had each outcome.

        `identified` (of these, by a cache: `cookie_cache`, `live_cache`), `store_unavailable`, or a refusal's reason.
        """
        return self._core.counters()

    @property
    def cache_size(self) -> CacheSize:
        """The sessions cached in this process, if `freshness` is `live` or a number of seconds."""
        return CacheSize(*self._core.cache_size())

    async def open(self) -> None:
        """Connect and read the catalog now, so that a wrong configuration is reported at start.

        A store that does not answer yet does not prevent the start: it is one warning.

        Raises:
            SchemaError: the tables are not Better Auth's, or our role may not read them.
        """
        self._telemetry.opening()
        try:
            self._telemetry.warn(await self._core.open())
            self._telemetry.warn(self._core.operator_messages())
            while note := self._core.store_note():
                self._telemetry.note(note)
        except StoreUnavailable as error:
            self._telemetry.store_failed(error)

    async def close(self) -> None:
        """Close the connections. The next use opens them again."""
        self._core.close()

    @asynccontextmanager
    async def lifespan(self, _app: object) -> AsyncGenerator[None]:
        """A lifespan for FastAPI or Starlette. In a lifespan of your own, call `open` and `close`."""
        await self.open()
        try:
            yield
        finally:
            await self.close()

    async def current_user(self, request: HTTPConnection) -> UserT_co:
        """The user who sent this request.

        The request is identified once, as `freshness` allows: each further call in the same request or WebSocket
        connection returns the same user, even if the session has ended meanwhile. In a long one, call `fresh_user`.

        Raises:
            HTTPException: 401 without a valid session, 403 from a page that is not trusted, 503 if the store cannot
                answer.
        """
        found: _Found[SessionT_co, UserT_co] = self._core.identify(request.scope)
        return (await self._required(found) if type(found) is RequestState else found).user

    async def optional_user(self, request: HTTPConnection) -> UserT_co | None:
        """The same as `current_user`, but None without a valid session.

        Raises:
            HTTPException: 403 from a page that is not trusted, 503 if the store cannot answer.
        """
        found: _Found[SessionT_co, UserT_co] = self._core.identify(request.scope)
        identity = await self._optional(found) if type(found) is RequestState else found
        return identity and identity.user

    async def fresh_user(self, request: HTTPConnection) -> UserT_co:
        """The user according to the store now, whatever `freshness` is set.

        Each call queries the store, also in a long response, a background task or a WebSocket. Only a look-up of the
        same session that was not sent yet is shared. The other dependencies of this request then use its result.

        Raises:
            HTTPException: as `current_user`.
            ConfigurationError: there is no database that knows; as an HTTP response, 500.
        """
        if not self._core.has_database:
            self._telemetry.misconfigured(
                "get_fresh_user reads the user's row, and there is no database: set DATABASE_URL, or use "
                "get_current_user, which returns what the JWT claims"
            )
            raise http_errors.misconfigured()
        return (await self._required(self._core.identify_by_store(request.scope))).user

    async def current_session(self, request: HTTPConnection) -> SessionT_co:
        """The session that this request presents. Identified once per request; raises like `current_user`."""
        found: _Found[SessionT_co, UserT_co] = self._core.identify(request.scope)
        session = (await self._required(found) if type(found) is RequestState else found).session
        if not session:  # a JWT has none
            raise http_errors.unauthorized(self._core.accepts, is_anonymous=False)
        return session

    async def token_claims(self, request: HTTPConnection) -> dict[str, Any] | None:
        """The claims of the JWT that this request presents, such as its organization; None for other credentials.

        They are a snapshot from when the token was issued. Identified once in a request, and raises, as
        `optional_user`.
        """
        found: _Found[SessionT_co, UserT_co] = self._core.identify(request.scope)
        identity = await self._optional(found) if type(found) is RequestState else found
        return identity and self._core.token_claims(request.scope)

    def session_cookie(self, connection: HTTPConnection) -> str | None:
        """The session cookie as it stands in the headers; None if there is none, or a bearer token decides instead."""
        return self._core.session_cookie(connection.scope)

    async def validate_session(self, cookie_value: str | None) -> Identity[SessionT_co, UserT_co] | None:
        """The session of this signed cookie value, percent-encoded or not; None if there is no valid one.

        Each call validates again, as `freshness` allows. There are no headers, so the origin is not checked:
        WebSocket routes need `validate_websocket`.

        Raises:
            TypeError: the value is not text, but for example a coroutine without `await`.
            StoreUnavailable, SchemaError: the store cannot answer; as an HTTP response, 503.
        """
        _require_text(cookie_value)
        found: _Found[SessionT_co, UserT_co] = self._core.identify_value(cookie_value or "")
        return await self._optional(found) if type(found) is RequestState else found

    async def validate_websocket(self, websocket: WebSocket) -> Identity[SessionT_co, UserT_co] | None:
        """The identity of whoever opens this WebSocket; None without a valid session. The origin is checked as well.

        Each call validates again, as `freshness` allows.

        Raises:
            OriginRefused: the page that opens it is not trusted; as an HTTP response, 403.
            StoreUnavailable, SchemaError: the store cannot answer; as an HTTP response, 503.
        """
        found: _Found[SessionT_co, UserT_co] = self._core.identify_anew(websocket.scope)
        return await self._optional(found) if type(found) is RequestState else found

    async def _required(self, state: RequestState) -> Identity[SessionT_co, UserT_co]:
        outcome = await self._settle(state)
        if isinstance(outcome, Refused):
            raise http_errors.unauthorized(self._core.accepts, is_anonymous=outcome.is_anonymous)
        return outcome

    async def _optional(self, state: RequestState) -> Identity[SessionT_co, UserT_co] | None:
        outcome = await self._settle(state)
        return None if isinstance(outcome, Refused) else outcome

    async def _settle(self, state: RequestState) -> Identity[SessionT_co, UserT_co] | Refused:
        """The outcome of a request. The only place where an error becomes an HTTP response."""
        verdict = state.verdict
        if isinstance(verdict, Found):
            if identity := self._conclude_cached(state, verdict):
                return identity
            verdict = state.verdict
        outcome = self._conclude(state, verdict or await self._look_up(state))
        if isinstance(outcome, Refused) and outcome.is_foreign_origin:
            outcome = OriginRefused(f"a page from {outcome.detail} may not use this session")
        if isinstance(outcome, AuthError):
            raise http_errors.from_error(outcome, self._core.retry_after_seconds) from outcome
        return outcome

    def _conclude_cached(self, state: RequestState, found: Found) -> Identity[SessionT_co, UserT_co] | None:
        """The identity in a cache. If the models do not fit it, they may fit the row: then the store is queried."""
        try:
            identity = self._identity(found)
        except ValidationError as error:
            session: object = found.fields()[0]
            if session is None and self._core.trusts_claims:
                self._telemetry.warn(state.conclude(self._claims_misfit(found, error)))
            else:
                self._core.look_up(state)
            return None
        if self._may_share and all(is_shareable(row) for row in identity if row):
            found.cache_object(identity)
        self._telemetry.warn(state.conclude(identity))
        return identity

    async def _look_up(self, state: RequestState) -> Found | Refused | AuthError:
        try:
            found = await state
        except asyncio.CancelledError:
            # The others still wait; without any, a look-up that was not sent yet is dropped.
            state.give_up()
            raise
        except AuthError as error:
            return error
        self._telemetry.store_answered()
        self._telemetry.note(self._core.store_note())
        return found

    def _conclude(self, state: RequestState, found: Found | Refused | AuthError) -> _Outcome[SessionT_co, UserT_co]:
        """The outcome, which the first of several waiters makes, and logs."""
        if (known := state.outcome) is not None:
            return known
        outcome: _Outcome[SessionT_co, UserT_co]
        try:
            outcome = self._identity(found) if isinstance(found, Found) else found
        except ValidationError as error:
            outcome = SchemaError(f"a row does not fit {error.title}: {self._misfits(found, error)}")
            self._telemetry.row_misfit(outcome)
        self._telemetry.warn(state.conclude(outcome))
        if isinstance(found, Refused):
            self._telemetry.refused(found)
        elif isinstance(found, RowMisfit):
            self._telemetry.row_misfit(found)
        elif isinstance(found, AuthError):
            self._telemetry.store_failed(found)
        return outcome

    def _identity(self, found: Found) -> Identity[SessionT_co, UserT_co]:
        """
        Raises:
            ValidationError: the fields do not fit the models.
        """
        session, user = found.fields()
        if user["name"] is None and not self._name_may_be_none:
            user["name"] = ""  # as Better Auth's own pages show it
        if self._user_keys:
            user = {self._user_keys.get(name, name): value for name, value in user.items()}
        if self._session_keys and session is not None:
            session = {self._session_keys.get(name, name): value for name, value in session.items()}
        # A JWT has no session: see `Identity`.
        validated: Any = None
        if session is not None:
            # What `model_validate` calls; without its options it takes half as long.
            validated = self._session_model.__pydantic_validator__.validate_python(session)
        return Identity(validated, self._user_model.__pydantic_validator__.validate_python(user))

    def _claims_misfit(self, found: Found, error: ValidationError) -> SchemaError:
        misfit = SchemaError(
            f"the claims of a JWT do not fit {error.title}: {self._misfits(found, error)}. Add them with definePayload "
            "in the options of Better Auth's jwt plugin, or give the fields a default"
        )
        self._telemetry.row_misfit(misfit)
        return misfit

    def _misfits(self, found: object, error: ValidationError) -> str:
        """What does not fit, by column, and how to fix it; no values."""
        is_user = error.title == self._user_model.__name__
        model, keys = (self._user_model, self._user_keys) if is_user else (self._session_model, self._session_keys)
        fields = {key: name for name, key in keys.items()}
        values: Mapping[str, object] = (found.fields()[is_user] or {}) if isinstance(found, Found) else {}
        misfits: list[str] = []
        for item in error.errors(include_input=False, include_url=False, include_context=False):
            field = fields.get(key := str(item["loc"][0]) if item["loc"] else "", key)
            column = self._core.column_name(is_user, field) or field
            is_null = field in values and values[field] is None and field in model.model_fields
            misfits.append(_misfit(model, field, column, item["msg"], is_null=is_null))
        return "; ".join(misfits)


def _misfit(model: type[BaseModel], field: str, column: str, why: str, *, is_null: bool) -> str:
    if not is_null:
        return f"{column} does not fit {model.__name__}.{field}: {why}"
    annotation = model.model_fields[field].annotation
    declared = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    where = (
        model.__name__ if model not in (AuthUser, AuthSession) else f"a model of your own, based on {model.__name__}"
    )
    return f"{column} is NULL: write `{field}: {declared} | None` in {where}"


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
