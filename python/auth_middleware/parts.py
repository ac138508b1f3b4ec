"""What an `Auth` works with, made from its settings."""

from dataclasses import dataclass
from typing import Generic

from auth_middleware import environment
from auth_middleware._core import Core
from auth_middleware.cors import CorsCheck
from auth_middleware.errors import ConfigurationError, MissingTables, StoreUnavailable
from auth_middleware.identification import Identification
from auth_middleware.models import SessionT_co, UserT_co
from auth_middleware.operator_log import OperatorLog
from auth_middleware.row_models import RowModels
from auth_middleware.settings import AuthSettings


@dataclass(frozen=True)
class Parts(Generic[SessionT_co, UserT_co]):
    """The core, and the parts that log and complete its results."""

    core: Core
    log: OperatorLog
    cors: CorsCheck
    identification: Identification[SessionT_co, UserT_co]

    async def open(self, *, strict: bool = False) -> None:
        """Connect, and log what an operator should know.

        Raises:
            SchemaError, StoreUnavailable: as `Auth.open`.
        """
        self.log.opening()
        try:
            self.log.warn(await self.core.open(strict))
            self.log.warn(self.core.operator_messages())
            while note := self.core.store_note():
                self.log.note(note)
        except (StoreUnavailable, MissingTables) as error:
            if strict:
                raise
            self.log.store_failed(error)


def parts_for(settings: AuthSettings, models: RowModels[SessionT_co, UserT_co]) -> Parts[SessionT_co, UserT_co]:
    """Opens nothing.

    Raises:
        ConfigurationError: a setting is missing or wrong.
    """
    try:
        core = models.core(settings)
    except ConfigurationError as error:
        raise ConfigurationError(environment.with_hints(str(error), settings)) from None
    parts = parts_with(core, models, settings.trusted_origins)
    misspelt = environment.misspelt_variables(settings=settings)
    parts.log.warn([*core.warnings, *environment.unknown_variables(), *misspelt])
    return parts


def parts_with(
    core: Core, models: RowModels[SessionT_co, UserT_co], cors_origins: tuple[str, ...] | None
) -> Parts[SessionT_co, UserT_co]:
    """The parts around a core.

    Args:
        core: The core.
        models: The application's models.
        cors_origins: The origins whose pages must be able to read the responses; None skips the check.
    """
    log = OperatorLog(core)
    cors = CorsCheck(log, cors_origins if core.accepts[0] else None)
    return Parts(core, log, cors, Identification(core, models, log, cors))
