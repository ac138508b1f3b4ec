"""Where `auth_middleware.testing` takes effect: in a test, other parts can stand in for those of an `Auth`.

Only code can set a stand-in: no setting or environment variable does.
"""

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Protocol

from auth_middleware.models import SessionT_co, UserT_co
from auth_middleware.parts import Parts
from auth_middleware.row_models import RowModels
from auth_middleware.settings import AuthSettings


class StandIn(Protocol):
    """Provides the parts of every `Auth` that a request uses."""

    def parts(
        self, settings: AuthSettings | None, models: RowModels[SessionT_co, UserT_co]
    ) -> Parts[SessionT_co, UserT_co] | None:
        """The parts for an instance with these settings and models; None once the stand-in has ended."""
        ...


# Set while an application that has a stand-in handles a request; tasks and threads started by it inherit the value.
current: ContextVar[StandIn | None] = ContextVar("auth_middleware stand-in", default=None)

# Finds the stand-in for an application, or for calls without one. Empty until a test sets one.
_finders: list[Callable[[object], StandIn | None]] = []


def find_with(finder: Callable[[object], StandIn | None]) -> None:
    """Use this function if the application has not received the request yet, or is unknown."""
    _finders[:] = [finder]


def chosen_for(application: object = None) -> AbstractContextManager[None]:
    """The stand-in for an application that has not received the request yet, or for a call without an application."""
    stand_in = _finders[0](application) if _finders and current.get() is None else None
    return _NONE if stand_in is None else _set(stand_in)


@contextmanager
def _set(stand_in: StandIn) -> Generator[None]:
    before = current.set(stand_in)
    try:
        yield
    finally:
        current.reset(before)


_NONE = nullcontext()
