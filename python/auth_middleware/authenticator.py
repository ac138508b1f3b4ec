"""From a connection to an Identity, or None. Knows starlette's connections; knows no HTTP status."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Generic, NamedTuple, TypeAlias

from pydantic import ValidationError
from starlette.requests import HTTPConnection
from starlette.types import Scope

from auth_middleware._core import Core, Found, Pending, Refused, SessionToken
from auth_middleware.errors import AuthError, OriginRefused, SchemaError, StoreUnavailable
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
from auth_middleware.telemetry import Telemetry

# Where a request's answer is remembered in the ASGI scope: a place for each instance.
PLACE = "auth_middleware"
_numbers = count(1)


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
        self._telemetry = Telemetry(self._core)
        self._place = f"{PLACE} {next(_numbers)}"
        self._telemetry.warn(self._core.warnings)

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
        return self._telemetry.counters

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
        self._telemetry.opening(self._core.secret_fingerprint)
        try:
            self._telemetry.warn(await self._core.open())
            self._tell()
        except StoreUnavailable as error:
            self._telemetry.store_failed(error)

    def _tell(self) -> None:
        self._telemetry.warn(self._core.operator_messages())
        if note := self._core.store_note():
            self._telemetry.note(note)

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
        return self._core.session_cookie(connection.scope)

    def at_hand(self, connection: HTTPConnection) -> Identity[SessionT_co, UserT_co] | None:
        """Who sent this, where a cache can tell at once; None: `identify` knows more, and raises what is wrong."""
        try:
            return self._core.at_hand(connection.scope, self._place)
        except AuthError:
            return None

    async def identify(self, connection: HTTPConnection) -> Identity[SessionT_co, UserT_co] | Refused:
        """Who sent this, asked once however often a request wants to know.

        Raises:
            OriginRefused: a page that is not ours sent the user's cookie along.
            StoreUnavailable, SchemaError: the store cannot say.
        """
        return await self._settle(self._ask(connection))

    async def identify_from_store(self, connection: HTTPConnection) -> Identity[SessionT_co, UserT_co] | Refused:
        """The same, by what the store says now: a cookie cache is not believed, nor an answer from one.

        Raises as `identify` does.
        """
        return await self._settle(self._ask_store(connection))

    async def identify_again(self, connection: HTTPConnection) -> Identity[SessionT_co, UserT_co] | Refused:
        """The same as `identify`, decided at each call, by what `freshness` allows; the request remembers nothing."""
        return await self._settle(self._inspect(connection.scope))

    async def identify_value(self, cookie_value: str | None) -> Identity[SessionT_co, UserT_co] | Refused:
        """Whose signed cookie value this is, by what `freshness` allows. It sees no headers, so no origin.

        Raises:
            StoreUnavailable, SchemaError: the store cannot say.
        """
        value = cookie_value or ""
        for_store = partial(self._core.inspect_value_for_store, value)
        return await self._settle(self._answer(self._core.inspect_value(value), for_store))

    def _ask(self, connection: HTTPConnection) -> "_Answer[SessionT_co, UserT_co]":
        """The request's answer where one is at hand, else what gives it."""
        scope = connection.scope
        answer = self.at_hand(connection) or self._remembered(scope) or self._inspect(scope)
        scope[self._place] = *_request(scope), answer
        return answer

    def _ask_store(self, connection: HTTPConnection) -> "_Asked[SessionT_co, UserT_co]":
        """The same, but only what the store gave, and gave this request."""
        scope = connection.scope
        answer = self._found(scope)
        if not isinstance(answer, _Asked) or answer.is_given_up or not answer.is_fresh(scope):
            answer = self._begin(self._core.inspect_for_store(scope))
            scope[self._place] = *_request(scope), answer
        return answer

    def _remembered(self, scope: Scope) -> "_Answer[SessionT_co, UserT_co] | None":
        """What this request was answered."""
        found = self._found(scope)
        if isinstance(found, _Asked):
            return None if found.is_given_up else found
        return found and self._answer(found, partial(self._core.inspect_for_store, scope))

    def _found(self, scope: Scope) -> "_Verdict[SessionT_co, UserT_co] | _Asked[SessionT_co, UserT_co] | None":
        """What lies in the scope, and is about this request: a scope can be copied for another one."""
        memory: _Memory[SessionT_co, UserT_co] = scope.get(self._place, (None, None, None))
        headers, method, found = memory
        return found if headers is scope["headers"] and method == scope.get("method") else None

    def _inspect(self, scope: Scope) -> "_Answer[SessionT_co, UserT_co]":
        return self._answer(self._core.inspect(scope), partial(self._core.inspect_for_store, scope))

    def _answer(
        self, verdict: "_Verdict[SessionT_co, UserT_co]", for_store: Callable[[], SessionToken | Refused]
    ) -> "_Answer[SessionT_co, UserT_co]":
        if isinstance(verdict, Identity):
            return verdict
        # Where what the application declared does not fit the snapshot, it may fit the row.
        if isinstance(verdict, Found):
            return self._known(verdict) or self._begin(for_store())
        return self._begin(verdict)

    def _known(self, found: Found) -> Identity[SessionT_co, UserT_co] | None:
        """Whom a cache names; None where that does not fit the models."""
        try:
            identity = self._made_of(found)
        except ValidationError:
            return None
        if self._may_share and all(map(is_shareable, identity)):
            found.cache_object(identity)
        self._telemetry.cache_answered()
        return identity

    def _begin(self, verdict: SessionToken | Refused) -> "_Asked[SessionT_co, UserT_co]":
        if isinstance(verdict, Refused):
            self._telemetry.refused(verdict)
            return _Asked(verdict)
        self._telemetry.signature_was_good()
        return _Asked(pending=self._core.look_up(verdict))

    async def _settle(self, answer: "_Answer[SessionT_co, UserT_co]") -> Identity[SessionT_co, UserT_co] | Refused:
        """The outcome. The first of several waiters makes it of what the store said, and tells the journal."""
        if isinstance(answer, Identity):
            return answer
        pending = answer.pending
        if answer.outcome is None and pending is not None:
            try:
                found = await pending.wait()
            except asyncio.CancelledError:
                # The others go on waiting; without any, what was not sent yet costs nothing.
                answer.is_given_up = pending.give_up()
                raise
            except (StoreUnavailable, SchemaError) as error:
                found = error
            if answer.outcome is None:
                answer.outcome = self._outcome(found)
        match outcome := answer.outcome:
            case Identity():
                return outcome
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
            self._telemetry.store_failed(found)
            return found
        self._telemetry.store_answered()
        self._tell()
        if isinstance(found, Refused):
            self._telemetry.refused(found)
            return found
        try:
            identity = self._made_of(found)
        except ValidationError as error:
            # The row does not fit what the application declared: its own fields are wrong.
            problem = SchemaError(f"a row does not fit {error.title}: {_fields(error)}")
            self._telemetry.store_failed(problem)
            return problem
        self._telemetry.identified()
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
class _Asked(Generic[SessionT_co, UserT_co]):
    """A refusal, or a look-up and what comes of it."""

    outcome: Identity[SessionT_co, UserT_co] | Refused | AuthError | None = None
    pending: Pending | None = None
    is_given_up: bool = False

    def is_fresh(self, scope: Scope) -> bool:
        """Whether the store gives it, and for this request: a WebSocket outlives its handshake's answer."""
        is_over = self.outcome is not None and scope["type"] == "websocket"
        return self.pending is not None and not is_over


_Verdict: TypeAlias = SessionToken | Found | Refused | Identity[SessionT_co, UserT_co]
# At hand, as from a cache, or asked for.
_Answer: TypeAlias = Identity[SessionT_co, UserT_co] | _Asked[SessionT_co, UserT_co]
# Headers and method of a request; and an answer, or the verdict that leads to one.
_Memory: TypeAlias = tuple[object, object, _Verdict[SessionT_co, UserT_co] | _Asked[SessionT_co, UserT_co] | None]


def _request(scope: Scope) -> tuple[object, object]:
    return scope["headers"], scope.get("method")


def _fields(error: ValidationError) -> str:
    wrong = error.errors(include_input=False, include_url=False, include_context=False)
    return ", ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in wrong)
