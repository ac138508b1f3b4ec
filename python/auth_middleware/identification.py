"""How the identification of a request ends: with an identity, a refusal or an error."""

import asyncio
from collections.abc import Mapping
from typing import Any, Generic, TypeAlias

from pydantic import ValidationError

from auth_middleware import http_errors
from auth_middleware._core import Core, Found, Refused, RequestState, error_type
from auth_middleware.errors import (
    AuthError,
    KeysUnavailable,
    KeyTableError,
    OriginRefused,
    RowMisfit,
    SchemaError,
)
from auth_middleware.log_fields import LogFields, path_in
from auth_middleware.models import Identity, SessionT_co, UserT_co, is_shareable
from auth_middleware.operator_log import OperatorLog
from auth_middleware.row_models import RowModels
from auth_middleware.telemetry import record_lookup

# Of the request; None if only a cookie's value was given.
_Scope: TypeAlias = Mapping[str, Any] | None
_Outcome: TypeAlias = Identity[SessionT_co, UserT_co] | Refused | AuthError


class Identification(Generic[SessionT_co, UserT_co]):
    """Ends what Rust could not end at once: waits for the lookup, makes the models, logs, and raises."""

    def __init__(self, core: Core, models: RowModels[SessionT_co, UserT_co], log: OperatorLog) -> None:
        self._core = core
        self._models = models
        self._log = log

    async def required(self, state: RequestState, scope: _Scope) -> Identity[SessionT_co, UserT_co]:
        """The identity.

        Raises:
            HTTPException: 401 without a valid session, 403 or 503 as `optional`.
        """
        outcome = await self._settle(state, scope)
        if isinstance(outcome, Refused):
            raise http_errors.unauthorized(self._core.accepts, is_anonymous=outcome.is_anonymous)
        return outcome

    async def optional(self, state: RequestState, scope: _Scope) -> Identity[SessionT_co, UserT_co] | None:
        """The identity; None without a valid session.

        Raises:
            HTTPException: 403 from a page that is not trusted, 503 if the store cannot answer; an `AuthError` too.
        """
        outcome = await self._settle(state, scope)
        return None if isinstance(outcome, Refused) else outcome

    async def _settle(self, state: RequestState, scope: _Scope) -> Identity[SessionT_co, UserT_co] | Refused:
        """The outcome of a request. The only place where an error becomes an HTTP response."""
        verdict = state.verdict
        if isinstance(verdict, Found):
            if identity := self._conclude_cached(state, verdict, scope):
                return identity
            verdict = state.verdict
        outcome = self._conclude(state, verdict or await self._look_up(state), scope)
        if isinstance(outcome, Refused) and outcome.is_foreign_origin:
            outcome = OriginRefused(f"a page from {outcome.detail} may not use this session")
        if isinstance(outcome, AuthError):
            raise http_errors.from_error(outcome, self._core.retry_after_seconds) from outcome
        return outcome

    def _conclude_cached(
        self, state: RequestState, found: Found, scope: _Scope
    ) -> Identity[SessionT_co, UserT_co] | None:
        """The identity in a cache. If the models do not fit it, they may fit the row: then the store is queried."""
        try:
            identity = self._models.identity(found)
        except ValidationError as error:
            session: object = found.fields()[0]
            if session is None and self._core.trusts_claims:
                misfit = self._claims_misfit(found, error)
                self._log.row_misfit(misfit, _log_fields(state, misfit, scope))
                self._log.warn(state.conclude(misfit))
            else:
                self._core.look_up(state)
            return None
        if self._models.may_be_shared and all(is_shareable(row) for row in identity if row):
            found.cache_object(identity)
        self._log.warn(state.conclude(identity))
        return identity

    async def _look_up(self, state: RequestState) -> Found | Refused | AuthError:
        try:
            found = await state
        except asyncio.CancelledError:
            # The others still wait; without any, a look-up that was not sent yet is dropped.
            state.give_up()
            raise
        except AuthError as error:
            record_lookup(state, error)
            return error
        record_lookup(state, found)
        self._log.store_answered()
        self._log.note(self._core.store_note())
        return found

    def _conclude(
        self, state: RequestState, found: Found | Refused | AuthError, scope: _Scope
    ) -> _Outcome[SessionT_co, UserT_co]:
        """The outcome, which the first of several waiters makes, and logs."""
        if (known := state.outcome) is not None:
            return known
        outcome: _Outcome[SessionT_co, UserT_co]
        try:
            outcome = self._models.identity(found) if isinstance(found, Found) else found
        except ValidationError as error:
            outcome = RowMisfit(f"a row does not fit {error.title}: {self._models.misfits(self._core, found, error)}")
        self._log.warn(state.conclude(outcome))
        if isinstance(outcome, Refused):
            self._log.refused(outcome, _log_fields(state, outcome, scope))
        elif isinstance(outcome, RowMisfit):
            self._log.row_misfit(outcome, _log_fields(state, outcome, scope))
        elif isinstance(outcome, (KeysUnavailable, KeyTableError)):
            self._log.keys_unavailable(outcome, _log_fields(state, outcome, scope))
        elif isinstance(outcome, AuthError):
            self._log.store_failed(outcome, _log_fields(state, outcome, scope))
        return outcome

    def _claims_misfit(self, found: Found, error: ValidationError) -> SchemaError:
        misfits = self._models.misfits(self._core, found, error)
        return SchemaError(
            f"the claims of a JWT do not fit {error.title}: {misfits}. Add them with definePayload in the "
            "options of Better Auth's jwt plugin, or give the fields a default"
        )


def _log_fields(state: RequestState, outcome: Refused | AuthError, scope: _Scope) -> LogFields:
    return {"reason": error_type(outcome), "credential": state.credential, "path": path_in(scope)}
