"""The settings of an `Auth`. The environment is not read before its settings are needed."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from operator import attrgetter
from threading import Lock
from typing import Any, Generic

from starlette.requests import HTTPConnection

from auth_middleware import http_errors, stand_ins
from auth_middleware.errors import ConfigurationError
from auth_middleware.models import SessionT_co, UserT_co
from auth_middleware.openapi import Accepted
from auth_middleware.operator_log import MisconfigurationLog
from auth_middleware.parts import Parts, parts_for
from auth_middleware.row_models import RowModels
from auth_middleware.settings import AuthSettings, accepted_credentials, session_cookie_name


class Configuration(Generic[SessionT_co, UserT_co]):
    """The settings and models of one `Auth`.

    Raises:
        ConfigurationError: the settings that were passed have a wrong value, or lack a required one.
    """

    def __init__(self, settings: AuthSettings | None, user_model: type[Any], session_model: type[Any]) -> None:
        self._settings = settings
        self._models: RowModels[SessionT_co, UserT_co] = RowModels(user_model, session_model)
        self._parts: Parts[SessionT_co, UserT_co] | None = None
        # In a test, those of other configurations; the last one applies.
        self._replacements: list[Parts[SessionT_co, UserT_co]] = []
        self._reading = Lock()
        self._log = MisconfigurationLog()
        if settings is None or settings.lacks_everything_required:
            self._models.check_with(settings)
        else:
            self._parts = parts_for(settings, self._models)

    @property
    def models(self) -> RowModels[SessionT_co, UserT_co]:
        """The models."""
        return self._models

    def parts(self) -> Parts[SessionT_co, UserT_co]:
        """The parts; in a test, perhaps those of a stand-in.

        Raises:
            ConfigurationError: a setting is missing or wrong.
        """
        stand_in = stand_ins.current.get()
        if stand_in is not None and (parts := stand_in.parts(self._settings, self._models)):
            return parts
        if self._replacements:
            return self._replacements[-1]
        return self._parts or self._read()

    def parts_for_request(self, connection: HTTPConnection | None) -> Parts[SessionT_co, UserT_co]:
        """
        Raises:
            Misconfigured: a `ConfigurationError` that is a 500 response, or closes an accepted WebSocket.
        """
        # Each request comes through here.
        if self._parts and not self._replacements and stand_ins.current.get() is None:
            return self._parts
        try:
            return self.parts()
        except ConfigurationError as error:
            self._log.log(error)
            raise http_errors.for_connection(http_errors.Misconfigured(error), connection) from error

    @contextmanager
    def replaced_by(self, other: "Configuration[Any, Any]") -> Generator[None]:
        """In a test: use the parts of the other one until the block ends.

        Raises:
            TypeError: the other one has other models.
        """
        ours, others = self._models, other.models
        for name in ("user_model", "session_model"):
            expected: type[Any] = getattr(ours, name)
            found: type[Any] = getattr(others, name)
            if found is not expected:
                raise TypeError(
                    f"the {name} is {found.__name__}, but that of the replaced Auth is {expected.__name__}: pass "
                    f"{name}={expected.__name__}"
                )
        parts = other.parts()
        self._replacements.append(parts)
        try:
            yield
        finally:
            self._replacements.remove(parts)

    def close(self) -> None:
        """Close what is open, if anything is."""
        if self._parts is not None or self._replacements or stand_ins.current.get() is not None:
            self.parts().core.close()

    def accepted(self) -> Accepted:
        """For `/docs`. Never raises."""
        if self._parts is not None:
            return self._parts.core.cookie_name, self._parts.core.accepts
        return session_cookie_name(self._settings), accepted_credentials(self._settings)

    def _read(self) -> Parts[SessionT_co, UserT_co]:
        with self._reading:
            if self._parts is None:
                settings = AuthSettings() if self._settings is None else self._settings.read_again()
                self._parts = parts_for(settings, self._models)
            return self._parts


# The configuration of an `Auth`, whose interface does not show it.
configuration_of: Callable[[object], Configuration[Any, Any]] = attrgetter("_configuration")
