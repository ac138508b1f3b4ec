"""What an `Auth` works with, made from its settings."""

from dataclasses import dataclass
from typing import Generic

from auth_middleware._core import Core
from auth_middleware.identification import Identification
from auth_middleware.models import SessionT_co, UserT_co
from auth_middleware.operator_log import OperatorLog
from auth_middleware.row_models import RowModels
from auth_middleware.settings import AuthSettings


@dataclass(frozen=True)
class Parts(Generic[SessionT_co, UserT_co]):
    """The core, and what logs and settles its results."""

    core: Core
    log: OperatorLog
    identification: Identification[SessionT_co, UserT_co]


def parts_for(settings: AuthSettings, models: RowModels[SessionT_co, UserT_co]) -> Parts[SessionT_co, UserT_co]:
    """Opens nothing.

    Raises:
        ConfigurationError: a setting is missing or wrong.
    """
    core = models.core(settings)
    log = OperatorLog(core)
    log.warn(core.warnings)
    return Parts(core, log, Identification(core, models, log))
