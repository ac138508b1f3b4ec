"""From a connection to an Identity, or None. Knows starlette's connections; knows no HTTP status."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Generic

from pydantic import ValidationError
from starlette.requests import HTTPConnection

from auth_middleware._core import Core, Found, Refused, SessionToken
from auth_middleware.errors import AuthError, OriginRefused, SchemaError, StoreUnavailable
from auth_middleware.journal import Journal
from auth_middleware.models import AuthSession, AuthUser, Identity, SessionT_co, UserT_co, own_fields
from auth_middleware.settings import AuthSettings

# Where a request's answer is remembered: by instance, in the ASGI scope.
MEMORY = "auth_middleware"


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
        self._journal = Journal()
        self._journal.warn(self._core.warnings)

    @property
    def cookie_name(self) -> str:
        """What the session cookie is called."""
        return self._core.cookie_name

    @property
    def counters(self) -> Mapping[str, int]:
        """How many requests met which end: `identified`, `store_unavailable`, or a refusal's reason."""
        return self._journal.counters

    async def open(self) -> None:
        """Connect and read the catalog now, so that trouble shows at start.

        A store that does not answer yet is no reason not to start: it is one warning.

        Raises:
            SchemaError: the tables are not Better Auth's, or may not be read.
        """
        try:
            self._journal.warn(await self._core.open())
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
        memory: dict[object, Any] = connection.scope.setdefault(MEMORY, {})
        asked = memory.get(self)
        if asked is None:
            asked = memory[self] = self._begin(self._inspect(connection))
        if isinstance(asked, Refused):
            return _settled(asked)
        # One waiter's cancellation must not cancel the others.
        return _settled(await asyncio.shield(asked))

    async def identify_afresh(self, connection: HTTPConnection) -> Identity[SessionT_co, UserT_co] | Refused:
        """Who sent this, asked now; nothing is remembered. Raises as `identify` does."""
        return await self._ask(self._inspect(connection))

    async def identify_value(self, cookie_value: str | None) -> Identity[SessionT_co, UserT_co] | Refused:
        """Whose signed cookie value this is, asked now. It sees no headers, so no origin.

        Raises:
            StoreUnavailable, SchemaError: the store cannot say.
        """
        return await self._ask(self._core.inspect_value(cookie_value or ""))

    def _inspect(self, connection: HTTPConnection) -> SessionToken | Refused:
        # A WebSocket handshake has no method in its scope.
        return self._core.inspect(connection.scope["headers"], connection.scope.get("method"))

    def _begin(
        self, verdict: SessionToken | Refused
    ) -> Refused | asyncio.Task[Identity[SessionT_co, UserT_co] | Refused | AuthError]:
        if isinstance(verdict, Refused):
            self._journal.refused(verdict)
            return verdict
        return asyncio.create_task(self._look_up(verdict))

    async def _ask(self, verdict: SessionToken | Refused) -> Identity[SessionT_co, UserT_co] | Refused:
        if isinstance(verdict, Refused):
            self._journal.refused(verdict)
            return _settled(verdict)
        return _settled(await self._look_up(verdict))

    async def _look_up(self, token: SessionToken) -> Identity[SessionT_co, UserT_co] | Refused | AuthError:
        """Errors are returned: a task whose waiters are all gone must not fail unheard."""
        self._journal.signature_was_good()
        try:
            found = await self._core.look_up(token)
        except (StoreUnavailable, SchemaError) as error:
            self._journal.store_failed(error)
            return error
        self._journal.store_answered()
        if isinstance(found, Refused):
            self._journal.refused(found)
            return found
        return self._identity(found)

    def _identity(self, found: Found) -> Identity[SessionT_co, UserT_co] | SchemaError:
        try:
            session = self._session_model.model_validate(found.session)
            user = self._user_model.model_validate(found.user)
        except ValidationError as error:
            # The row does not fit what the application declared: its own fields are wrong.
            wrong = error.errors(include_input=False, include_url=False, include_context=False)
            fields = ", ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in wrong)
            problem = SchemaError(f"a row does not fit {error.title}: {fields}")
            self._journal.store_failed(problem)
            return problem
        self._journal.identified()
        return Identity(session, user)


def _settled(
    outcome: Identity[SessionT_co, UserT_co] | Refused | AuthError,
) -> Identity[SessionT_co, UserT_co] | Refused:
    if isinstance(outcome, AuthError):
        raise outcome
    if isinstance(outcome, Refused) and outcome.reason == "origin":
        raise OriginRefused(f"a page from {outcome.detail} may not use this session")
    return outcome
