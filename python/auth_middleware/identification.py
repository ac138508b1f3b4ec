"""How the identification of a request ends: with an identity, a refusal or an error."""

import asyncio
from collections.abc import Mapping
from typing import Any, Generic, TypeAlias

from fastapi import HTTPException
from pydantic import ValidationError
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocket

from auth_middleware import http_errors
from auth_middleware._core import Core, Found, Refused, RequestState, error_type
from auth_middleware.cors import CorsCheck
from auth_middleware.errors import (
    AuthError,
    KeysUnavailable,
    KeyTableError,
    NoAsyncioLoop,
    OriginRefused,
    RowMisfit,
    SchemaError,
    StoreUnavailable,
)
from auth_middleware.log_fields import NO_SESSION, LogFields, path_in
from auth_middleware.models import Identity, SessionT_co, UserT_co, is_shareable
from auth_middleware.operator_log import OperatorLog
from auth_middleware.row_models import RowModels
from auth_middleware.telemetry import record_lookup

# Set in the scope of a WebSocket once it was validated: later checks may fail. Rust sets it too.
_VALIDATED = "auth_middleware validated"

# The close code of a WebSocket whose session could not be checked.
UNCHECKED = 4002

_Outcome: TypeAlias = Identity[SessionT_co, UserT_co] | Refused | AuthError


class Identification(Generic[SessionT_co, UserT_co]):
    """Completes what Rust could not: waits for the lookup, creates the models, logs, and raises."""

    def __init__(self, core: Core, models: RowModels[SessionT_co, UserT_co], log: OperatorLog, cors: CorsCheck) -> None:
        self.core = core
        self._models = models
        self._log = log
        self._cors = cors

    async def required(self, state: RequestState, connection: HTTPConnection) -> Identity[SessionT_co, UserT_co]:
        """The identity.

        Raises:
            HTTPException: 401 without a valid session, 403 or 503 as `optional`.
        """
        outcome = await self._settle(state, connection)
        if isinstance(outcome, Refused):
            raise self.unauthorized(connection, is_anonymous=outcome.is_anonymous)
        self._validated_before_accept(connection)
        return outcome

    async def optional(
        self, state: RequestState, connection: HTTPConnection | None
    ) -> Identity[SessionT_co, UserT_co] | None:
        """The identity; None without a valid session.

        Raises:
            HTTPException: 403 from an untrusted page, 503 if the store is unavailable; an `AuthError` too.
        """
        outcome = await self._settle(state, connection)
        self._validated_before_accept(connection)
        return None if isinstance(outcome, Refused) else outcome

    def unauthorized(self, connection: HTTPConnection, *, is_anonymous: bool) -> HTTPException:
        """The error of a request that needs a session and has none."""
        error = http_errors.unauthorized(self.core.accepts, is_anonymous=is_anonymous)
        return self._error(error, connection)

    def lacks_session(self, connection: HTTPConnection) -> HTTPException:
        """The error of a route that needs a session, for a request with a JWT."""
        self._log.lacks_session({"reason": NO_SESSION, "credential": "jwt", "path": path_in(connection.scope)})
        return self.unauthorized(connection, is_anonymous=False)

    def lacks_cookie(self, connection: HTTPConnection) -> None:
        """Log the probable cause of a missing session cookie: `validate_session` sees no headers, so it cannot."""
        if refused := self.core.missing_cookie(connection.scope):
            path = path_in(connection.scope)
            self._log.probable_cause(refused, {"reason": refused.reason, "credential": None, "path": path})

    def ends(self, what: str, code: int, cause: str, scope: Mapping[str, Any]) -> None:
        """Log the end of a guarded connection."""
        reason = cause if cause in Core.reasons() else "disconnected"
        fields: LogFields = {"reason": reason, "credential": None, "path": path_in(scope)}
        if code == UNCHECKED:
            error = StoreUnavailable(cause)
            fields["reason"] = error_type(error)
            self._log.guard_unchecked(error, fields)
        self._log.guard_ended(what, cause, fields)

    def begin_recheck(self, connection: HTTPConnection) -> None:
        """Marks a WebSocket as validated, so that a failed re-check is not reported as a late validation."""
        if connection.scope["type"] == "websocket":
            connection.scope[_VALIDATED] = True

    def validated(self, websocket: WebSocket, identity: object) -> None:
        """A WebSocket was validated."""
        if identity is None and http_errors.is_accepted(websocket):
            self._warn_if_late(websocket)
        websocket.scope[_VALIDATED] = True

    def _validated_before_accept(self, connection: HTTPConnection | None) -> None:
        if connection is None or connection.scope["type"] != "websocket" or http_errors.is_accepted(connection):
            return
        connection.scope[_VALIDATED] = True

    async def _settle(
        self, state: RequestState, connection: HTTPConnection | None
    ) -> Identity[SessionT_co, UserT_co] | Refused:
        """The outcome of a request. The only place where an error becomes an HTTP response."""
        self._cors.check_first_request(connection and connection.scope)
        verdict = state.verdict
        if isinstance(verdict, Found):
            if identity := self._conclude_cached(state, verdict, connection):
                return identity
            verdict = state.verdict
        outcome = self._conclude(state, verdict or await self._look_up(state), connection)
        if isinstance(outcome, Refused) and outcome.is_foreign_origin:
            outcome = OriginRefused(f"a page from {outcome.detail} may not use this session")
        if isinstance(outcome, AuthError):
            error = http_errors.from_error(outcome, self.core.retry_after_seconds)
            raise self._error(error, connection) from outcome
        return outcome

    def _error(self, error: HTTPException, connection: HTTPConnection | None) -> HTTPException:
        if connection is not None and http_errors.is_accepted(connection):
            self._warn_if_late(connection)
        return http_errors.for_connection(error, connection)

    def _warn_if_late(self, connection: HTTPConnection) -> None:
        if _VALIDATED not in connection.scope:
            self._log.validated_after_accept()

    def _conclude_cached(
        self, state: RequestState, found: Found, connection: HTTPConnection | None
    ) -> Identity[SessionT_co, UserT_co] | None:
        """The identity in a cache. If the models do not fit it, they may fit the row: then the store is queried."""
        try:
            identity = self._models.identity(found)
        except ValidationError as error:
            session: object = found.fields()[0]
            if session is None and self.core.trusts_claims:
                misfit = self._claims_misfit(found, error)
                self._log.row_misfit(misfit, _log_fields(state, misfit, connection))
                self._log.warn(state.conclude(misfit))
            else:
                self.core.look_up(state)
            return None
        if self._models.may_be_shared and all(is_shareable(row) for row in identity if row):
            found.cache_object(identity)
        self._log.warn(state.conclude(identity))
        return identity

    async def _look_up(self, state: RequestState) -> Found | Refused | AuthError:
        try:
            found = await state
        except asyncio.CancelledError:
            # The others still wait; without any, a lookup that was not sent yet is dropped.
            state.give_up()
            raise
        except AuthError as error:
            record_lookup(state, error)
            return error
        record_lookup(state, found)
        self._log.store_answered()
        self._log.note(self.core.store_note())
        return found

    def _conclude(
        self, state: RequestState, found: Found | Refused | AuthError, connection: HTTPConnection | None
    ) -> _Outcome[SessionT_co, UserT_co]:
        """The outcome, which the first of several waiters makes, and logs."""
        if (known := state.outcome) is not None:
            return known
        outcome: _Outcome[SessionT_co, UserT_co]
        try:
            outcome = self._models.identity(found) if isinstance(found, Found) else found
        except ValidationError as error:
            outcome = RowMisfit(f"a row does not fit {error.title}: {self._models.misfits(self.core, found, error)}")
        self._log.warn(state.conclude(outcome))
        if isinstance(outcome, Refused):
            self._log.refused(outcome, _log_fields(state, outcome, connection))
        elif isinstance(outcome, RowMisfit):
            self._log.row_misfit(outcome, _log_fields(state, outcome, connection))
        elif isinstance(outcome, (KeysUnavailable, KeyTableError)):
            self._log.keys_unavailable(outcome, _log_fields(state, outcome, connection))
        elif isinstance(outcome, NoAsyncioLoop):
            self._log.misconfigured(str(outcome), _log_fields(state, outcome, connection))
        elif isinstance(outcome, AuthError):
            self._log.store_failed(outcome, _log_fields(state, outcome, connection))
        return outcome

    def _claims_misfit(self, found: Found, error: ValidationError) -> SchemaError:
        misfits = self._models.misfits(self.core, found, error)
        return SchemaError(
            f"the claims of a JWT do not fit {error.title}: {misfits}. Add them with definePayload in the "
            "options of Better Auth's jwt plugin, or give the fields a default"
        )


def _log_fields(state: RequestState, outcome: Refused | AuthError, connection: HTTPConnection | None) -> LogFields:
    path = path_in(connection and connection.scope)
    return {"reason": error_type(outcome), "credential": state.credential, "path": path}
