"""Users and sessions with sensible values, as models and as rows."""

import itertools
import secrets
import string
import uuid
import zlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import cache
from typing import Any, TypeVar, overload

from pydantic import BaseModel, SecretBytes, SecretStr, ValidationError, create_model
from pydantic_core import to_jsonable_python

from auth_middleware.models import AuthSession, AuthUser, keys_by_field
from auth_middleware.testing.names import by_any_field, by_field
from auth_middleware.testing.values import made_up

UserT = TypeVar("UserT", bound=AuthUser)
SessionT = TypeVar("SessionT", bound=AuthSession)
ModelT = TypeVar("ModelT", bound=BaseModel)

NAME = "Ada Lovelace"
SESSION_LIFETIME = timedelta(days=7)

_LETTERS_AND_DIGITS = string.ascii_letters + string.digits
_numbers = itertools.count(1)


@overload
def make_user(**fields: Any) -> AuthUser: ...
@overload
def make_user(model: type[UserT], /, **fields: Any) -> UserT: ...
def make_user(model: type[Any] | None = None, /, **fields: Any) -> Any:
    """A user with a new id. Fields that are not passed get sensible values, including those that your model requires.

    A field's alias and its name in camelCase stand for the field. Without `model`, fields that only models based on
    `AuthUser` declare are kept, for an `Auth` with such a model.

    Raises:
        TypeError: the model (without one, any model) has no such field, or it requires one for which no value can be
            generated.
        ValidationError: a value does not fit the model.
    """
    return _made(model, AuthUser, fields, datetime.now(UTC))


@overload
def make_session(**fields: Any) -> AuthSession: ...
@overload
def make_session(model: type[SessionT], /, **fields: Any) -> SessionT: ...
def make_session(model: type[Any] | None = None, /, **fields: Any) -> Any:
    """A session with a new id and a new token, valid for seven days. Otherwise the same as `make_user`."""
    return _made(model, AuthSession, fields, datetime.now(UTC))


def made(model: type[ModelT], fields: Mapping[str, object], now: datetime) -> ModelT:
    """A user or a session with these fields, made at this time.

    Raises:
        TypeError, ValidationError: as `make_user`.
    """
    fields = by_field(model, fields)
    values = _values(model, fields, now)
    for name in ("id", "user_id"):
        if name in values:
            values[name] = _fitting_id(model.model_fields[name].annotation, values[name])
    keys = keys_by_field(model)
    try:
        return model.model_validate({keys.get(name, name): value for name, value in values.items()})
    except ValidationError as error:
        wrong = {str(item["loc"][0]): item["msg"] for item in error.errors() if item["loc"]}
        for name in values.keys() - fields.keys():
            if why := wrong.get(keys.get(name, name)):  # a validator of the model refuses it
                raise TypeError(
                    f"the value generated for {model.__name__}.{name} does not fit: {why}. Pass {name}=…"
                ) from error
        raise


def converted(model: type[ModelT], row: BaseModel, now: datetime) -> ModelT:
    """The row as another model. Fields that the model does not have are left out."""
    if isinstance(row, model):
        return row
    fields = values_of(row)
    return made(model, {name: value for name, value in fields.items() if name in model.model_fields}, now)


def values_of(row: BaseModel) -> dict[str, object]:
    """The values of the model's fields, by name."""
    return {name: getattr(row, name) for name in type(row).model_fields}


def column_values(row: BaseModel) -> dict[str, object]:
    """The values that the columns have, of the types that a database has."""
    values = {name: _column_value(value) for name, value in values_of(row).items()}
    for name in ("id", "user_id"):
        if name in values:
            values[name] = str(values[name])
    return {"banned": None, "ban_expires": None, **values}


def new_token() -> str:
    """32 letters and digits, like Better Auth's."""
    return "".join(secrets.choice(_LETTERS_AND_DIGITS) for _ in range(32))


def _made(model: type[Any] | None, base: type[BaseModel], fields: Mapping[str, object], now: datetime) -> Any:
    if model is None:
        fields = by_any_field(base, fields)
        others = frozenset(fields) - frozenset(base.model_fields)
        model = _with_fields(base, others) if others else base
    return made(model, fields, now)


@cache
def _with_fields(base: type[BaseModel], names: frozenset[str]) -> type[BaseModel]:
    fields: dict[str, Any] = dict.fromkeys(sorted(names), (Any, ...))
    return create_model(base.__name__, __base__=base, **fields)


def _values(model: type[BaseModel], fields: Mapping[str, object], now: datetime) -> dict[str, object]:
    """Better Auth has milliseconds."""
    now = now.replace(microsecond=now.microsecond // 1000 * 1000)
    usual = _of_session(model, fields, now) if issubclass(model, AuthSession) else _of_user(model, fields, now)
    values = {name: value() for name, value in usual.items() if name not in fields} | dict(fields)
    for name, field in model.model_fields.items():
        if name not in values and field.is_required():
            values[name] = made_up(model, name, field, now)
    return values


def _of_user(model: type[BaseModel], fields: Mapping[str, object], now: datetime) -> dict[str, Callable[[], object]]:
    name = str(fields.get("name", NAME) or "user")
    address = "".join(letter for letter in name.lower().replace(" ", ".") if letter.isascii() and letter in _IN_ADDRESS)
    return {
        "id": lambda: _id(model, "id"),
        "name": lambda: NAME,
        "email": lambda: f"{address.strip('.') or 'user'}.{next(_numbers)}@example.com",
        "email_verified": lambda: True,
        "image": lambda: None,
        "created_at": lambda: now,
        "updated_at": lambda: now,
    }


def _of_session(
    model: type[BaseModel], _fields: Mapping[str, object], now: datetime
) -> dict[str, Callable[[], object]]:
    return {
        "id": lambda: _id(model, "id"),
        "user_id": lambda: _id(model, "user_id"),
        "token": new_token,
        "expires_at": lambda: now + SESSION_LIFETIME,
        "ip_address": lambda: "127.0.0.1",
        "user_agent": lambda: "auth_middleware.testing",
        "created_at": lambda: now,
        "updated_at": lambda: now,
    }


_IN_ADDRESS = string.ascii_lowercase + string.digits + ".-"


def _id(model: type[BaseModel], field: str) -> object:
    """A UUID as text, which fits models that have a text and those that have a UUID."""
    return next(_numbers) if model.model_fields[field].annotation is int else str(uuid.uuid4())


def _fitting_id(annotation: Any, value: object) -> object:
    """The id for a model whose ids are of another type than that of the model it was made for."""
    if annotation is str:
        return str(value)
    if annotation is int and isinstance(value, str) and not value.isdecimal():
        return zlib.crc32(value.encode())
    return value


def _column_value(value: object) -> object:
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, SecretStr | SecretBytes):
        value = value.get_secret_value()
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return to_jsonable_python(value)
