"""From a connection to an Identity, or None. Knows starlette's connections; knows no HTTP status."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Generic, NamedTuple

from pydantic import ValidationError
from starlette.requests import HTTPConnection

from auth_middleware._core import Core, Found, Pending, Refused, SessionToken
from auth_middleware.errors import AuthError, OriginRefused, SchemaError, StoreUnavailable
from auth_middleware.journal import Journal
from auth_middleware.models import (
    AuthSession,
    AuthUser,
    Identity,
    SessionT_co,
    UserT_co,
    is_shareable,
    is_shareable_model,
    own_fields,
)
from auth_middleware.settings import AuthSettings

# Where a request's answer is remembered: by instance, in the ASGI scope.
MEMORY = "auth_middleware"


class CacheSize(NamedTuple):
    """Answers kept in this process."""

    sessions: int
    bytes: int
    """What they take in Rust; ready Python objects come on top."""


class Authenticator(Generic[SessionT_co, UserT_co]):
    """Reads sessions by one set of settings into one pair of models."""

    def __init__(
        self,
        settings: AuthSettings | None,
        user_model: type[UserT_co],
        session_model: type[SessionT_co],
    ) -> None:
        settings = settings or AuthSettings()
        user_fields, session_fields = own_fields(user_model, AuthUser), own_fields(session_model, AuthSession)
        self._core = Core(settings.for_core(), user_fields, session_fields)
        self._user_model = user_model
        self._session_model = session_model
        self._may_share = is_shareable_model(user_model) and is_shareable_model(session_model)
        self._journal = Journal(self._core.cache)
        self._journal.warn(self._core.warnings)

    @property
    def cookie_name(self) -> str:
        """What the session cookie is called."""
        return self._core.cookie_name

    @property
    def secret_fingerprint(self) -> str:
        """Tells two deployments' secrets apart in their logs; it leads back to neither."""
        return self._core.secret_fingerprint

    @property
    def counters(self) -> Mapping[str, int]:
        """How many requests met which end: `identified` (of these, by a cache: `cookie_cache`, `live_cache`),
        `store_unavailable`, or a refusal's reason."""
        return self._journal.counters

    @property
    def cache_size(self) -> CacheSize:
        """What is kept in this process, where `freshness` is `live` or a number of seconds."""
        return CacheSize(*self._core.cache_size())

    async def open(self) -> None:
        """Connect and read the catalog now, so that trouble shows at start.

        A store that does not answer yet is no reason not to start: it is one warning.

        Raises:
            SchemaError: the tables are not Better Auth's, or may not be read.
        """
        self._journal.opening(self._core.secret_fingerprint)
        try:
            self._journal.warn(await self._core.open())
            self._journal.warn(self._core.news())
        except StoreUnavailable as error:
            self._journal.store_failed(error)

    async def close(self) -> None:
        """Close the connections. The next use opens them anew."""
        self._core.close()

    @asynccontextmanager
    async def lifespan(self, _app: object) -> AsyncGenerator[None]:
        """A lifespan for FastAPI or Starlette; to compose with one's own, call `open` and `close`."""
        await self.open()
        try:
            yield
        finally:
            await self.close()

    def session_cookie(self, connection: HTTPConnection) -> str | None:
        """The connection's session cookie as it stands in the headers; None when there is none."""
        return self._core.session_cookie(connection.scope["headers"])

    async def identify(self, connection: HTTPConnection) -> Identity[SessionT_co, UserT_co] | Refused:
        """Who sent this, asked once however often a request wants to know.

        Raises:
            OriginRefused: a page that is not ours sent the user's cookie along.
            StoreUnavailable, SchemaError: the store cannot say.
        """
        headers = connection.scope["headers"]
        memory: dict[object, _Remembered[SessionT_co, UserT_co]] = connection.scope.setdefault(MEMORY, {})
        remembered = memory.get(self)
        if remembered is None or not remembered.serves(headers):
            verdict = self._inspect(connection)
            if isinstance(verdict, Identity):
                memory[self] = _Remembered(headers, verdict)
                return verdict
            remembered = memory[self] = self._begin(verdict, headers)
        return await self._settle(remembered)

    async def identify_fresh(self, connection: HTTPConnection) -> Identity[SessionT_co, UserT_co] | Refused:
        """The same, by what the store says now: a cookie cache is not believed, nor an answer from one.

        Raises as `identify` does.
        """
        memory: dict[object, _Remembered[SessionT_co, UserT_co]] = connection.scope.setdefault(MEMORY, {})
        remembered = memory.get(self)
        headers = connection.scope["headers"]
        if remembered is None or not remembered.serves(headers) or not remembered.is_fresh(connection):
            remembered = memory[self] = self._begin(self._inspect_for_store(connection), headers)
        return await self._settle(remembered)

    async def identify_afresh(self, connection: HTTPConnection) -> Identity[SessionT_co, UserT_co] | Refused:
        """The same as `identify`, decided at each call, by what `freshness` allows; the request remembers nothing."""
        return await self._settle(self._begin(self._inspect(connection)))

    async def identify_value(self, cookie_value: str | None) -> Identity[SessionT_co, UserT_co] | Refused:
        """Whose signed cookie value this is, by what `freshness` allows. It sees no headers, so no origin.

        Raises:
            StoreUnavailable, SchemaError: the store cannot say.
        """
        verdict = self._core.inspect_value(cookie_value or "")
        if isinstance(verdict, Found):
            verdict = self._known(verdict) or self._core.inspect_value_for_store(cookie_value or "")
        return await self._settle(self._begin(verdict))

    def _inspect(self, connection: HTTPConnection) -> SessionToken | Identity[SessionT_co, UserT_co] | Refused:
        verdict = self._core.inspect(connection.scope["headers"], _method(connection))
        if not isinstance(verdict, Found):
            return verdict
        # Where what the application declared does not fit the snapshot, it may fit the row.
        return self._known(verdict) or self._inspect_for_store(connection)

    def _known(self, found: Found) -> Identity[SessionT_co, UserT_co] | None:
        """Whom a cache names; None where that does not fit the models."""
        identity: Identity[SessionT_co, UserT_co] | None = found.ready
        if identity is None:
            try:
                identity = self._made_of(found)
            except ValidationError:
                return None
            if self._may_share and all(map(is_shareable, identity)):
                found.keep_ready(identity)
        self._journal.cache_answered()
        return identity

    def _inspect_for_store(self, connection: HTTPConnection) -> SessionToken | Refused:
        return self._core.inspect_for_store(connection.scope["headers"], _method(connection))

    def _begin(
        self, verdict: SessionToken | Identity[SessionT_co, UserT_co] | Refused, headers: object = None
    ) -> "_Remembered[SessionT_co, UserT_co]":
        if isinstance(verdict, SessionToken):
            self._journal.signature_was_good()
            return _Remembered(headers, pending=self._core.look_up(verdict))
        if isinstance(verdict, Refused):
            self._journal.refused(verdict)
        return _Remembered(headers, verdict)

    async def _settle(
        self, remembered: "_Remembered[SessionT_co, UserT_co]"
    ) -> Identity[SessionT_co, UserT_co] | Refused:
        """The outcome. The first of several waiters makes it of what the store said, and tells the journal."""
        pending = remembered.pending
        if remembered.outcome is None and pending is not None:
            try:
                found = await pending.wait()
            except asyncio.CancelledError:
                # The others go on waiting; without any, what was not sent yet costs nothing.
                remembered.is_given_up = pending.give_up()
                raise
            except (StoreUnavailable, SchemaError) as error:
                found = error
            if remembered.outcome is None:
                remembered.outcome = self._outcome(found)
        outcome = remembered.outcome
        if isinstance(outcome, Identity):
            return outcome
        match outcome:
            case None:
                raise StoreUnavailable("the look-up ended without an answer")
            case AuthError():
                raise outcome
            case Refused(reason="origin"):
                raise OriginRefused(f"a page from {outcome.detail} may not use this session")
            case Refused():
                return outcome

    def _outcome(self, found: Found | Refused | AuthError) -> Identity[SessionT_co, UserT_co] | Refused | AuthError:
        if isinstance(found, AuthError):
            self._journal.store_failed(found)
            return found
        self._journal.store_answered()
        self._journal.warn(self._core.news())
        if isinstance(found, Refused):
            self._journal.refused(found)
            return found
        try:
            identity = self._made_of(found)
        except ValidationError as error:
            # The row does not fit what the application declared: its own fields are wrong.
            problem = SchemaError(f"a row does not fit {error.title}: {_fields(error)}")
            self._journal.store_failed(problem)
            return problem
        self._journal.identified()
        return identity

    def _made_of(self, found: Found) -> Identity[SessionT_co, UserT_co]:
        """
        Raises:
            ValidationError: it does not fit the models.
        """
        # What `model_validate` comes to: without its options it takes half as long.
        session = self._session_model.__pydantic_validator__.validate_python(found.session)
        return Identity(session, self._user_model.__pydantic_validator__.validate_python(found.user))


@dataclass(slots=True)
class _Remembered(Generic[SessionT_co, UserT_co]):
    """A request's answer, or the look-up that will give it."""

    headers: object
    outcome: Identity[SessionT_co, UserT_co] | Refused | AuthError | None = None
    pending: Pending | None = None
    is_given_up: bool = False

    def serves(self, headers: object) -> bool:
        """Whether it is about these very headers: a scope can be copied for another request."""
        return not self.is_given_up and self.headers is headers

    def is_fresh(self, connection: HTTPConnection) -> bool:
        """Whether the store gave it, and for this request: a WebSocket outlives its handshake's answer."""
        is_over = self.outcome is not None and connection.scope["type"] == "websocket"
        return self.pending is not None and not is_over


def _method(connection: HTTPConnection) -> str | None:
    """None for a WebSocket handshake, whatever method a server or middleware puts into its scope."""
    return None if connection.scope["type"] == "websocket" else connection.scope["method"]


def _fields(error: ValidationError) -> str:
    wrong = error.errors(include_input=False, include_url=False, include_context=False)
    return ", ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in wrong)
