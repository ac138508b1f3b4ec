"""Rows as the application's models, and the fix to suggest when a row does not fit."""

from collections.abc import Mapping
from types import NoneType
from typing import Any, Generic, cast

from pydantic import BaseModel, ValidationError

from auth_middleware._core import Core, Found
from auth_middleware.models import (
    AuthSession,
    AuthUser,
    Identity,
    SessionT_co,
    UserT_co,
    accepts_none,
    is_shareable_model,
    keys_by_field,
    model_fields,
)
from auth_middleware.settings import AuthSettings, check_incomplete


class RowModels(Generic[SessionT_co, UserT_co]):
    """The models of one `Auth`."""

    def __init__(self, user_model: type[Any], session_model: type[Any]) -> None:
        self.user_model = user_model
        self.session_model = session_model
        self._user_keys = keys_by_field(user_model)
        self._session_keys = keys_by_field(session_model)
        self._name_may_be_none = accepts_none(user_model, "name")
        self.may_be_shared = is_shareable_model(user_model) and is_shareable_model(session_model)

    def core(self, settings: AuthSettings) -> Core:
        """A core that reads the columns of these models.

        Raises:
            ConfigurationError: a setting is missing or wrong.
        """
        return settings.make_core(model_fields(self.user_model), model_fields(self.session_model))

    def check_with(self, settings: AuthSettings | None) -> None:
        """Check what is known before the environment is read: the models, and the settings that were passed.

        Raises:
            ConfigurationError: one of them is wrong.
        """
        check_incomplete(settings, model_fields(self.user_model), model_fields(self.session_model))

    def identity(self, found: Found) -> Identity[SessionT_co, UserT_co]:
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
            validated = self.session_model.__pydantic_validator__.validate_python(session)
        return Identity(validated, self.user_model.__pydantic_validator__.validate_python(user))

    def misfits(self, core: Core, found: object, error: ValidationError) -> str:
        """What does not fit, by column, and how to fix it; no values."""
        is_user = error.title == self.user_model.__name__
        model, keys = (self.user_model, self._user_keys) if is_user else (self.session_model, self._session_keys)
        fields = {key: name for name, key in keys.items()}
        values: Mapping[str, object] = (found.fields()[is_user] or {}) if isinstance(found, Found) else {}
        misfits: list[str] = []
        for item in error.errors(include_input=False, include_url=False, include_context=False):
            field = fields.get(key := str(item["loc"][0]) if item["loc"] else "", key)
            column = core.column_name(is_user, field) or field
            is_stored = field in values and field in model.model_fields
            stored = cast("type[object]", type(values[field])) if is_stored else None
            is_of_type = item["type"].endswith(("_type", "_parsing"))
            if stored is not NoneType and not (is_of_type and model.model_fields[field].annotation is not stored):
                stored = None
            misfits.append(_misfit(model, field, column, item["msg"], stored))
        return "; ".join(dict.fromkeys(misfits))


def _misfit(model: type[BaseModel], field: str, column: str, why: str, stored: type[object] | None) -> str:
    if stored is None:
        return f"{column} does not fit {model.__name__}.{field}: {why}"
    where = (
        model.__name__ if model not in (AuthUser, AuthSession) else f"a model of your own, based on {model.__name__}"
    )
    if stored is not NoneType:
        return f"{column} does not fit {model.__name__}.{field}: {why}; write `{field}: {stored.__name__}` in {where}"
    annotation = model.model_fields[field].annotation
    declared = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    return f"{column} is NULL: write `{field}: {declared} | None` in {where}"
