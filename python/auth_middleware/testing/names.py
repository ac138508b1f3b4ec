"""The names of fields, as a test may spell them."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches

from pydantic import BaseModel

from auth_middleware.models import AuthSession, AuthUser, model_fields


def by_field(model: type[BaseModel], given: Mapping[str, object]) -> dict[str, object]:
    """The values by the names of the model's fields. An alias and camelCase stand for the field.

    Raises:
        TypeError: the model has no such field, or it is given twice.
    """
    return _resolved([model], given, model.__name__)


def by_any_field(base: type[BaseModel], given: Mapping[str, object]) -> dict[str, object]:
    """The same for fields of `base` or of any model based on it."""
    return _resolved([base, *_below(base)], given, base.__name__)


def for_user_and_session(given: Mapping[str, object]) -> tuple[dict[str, object], dict[str, object]]:
    """The fields of a user and those of a session. A field that models of both declare is in both.

    Raises:
        TypeError: no model has such a field, or it is given twice.
    """
    users, sessions = [AuthUser, *_below(AuthUser)], [AuthSession, *_below(AuthSession)]
    of_user: dict[str, object] = {}
    of_session: dict[str, object] = {}
    for name, value in given.items():
        is_of_users = _field(users, name) is not None
        is_of_sessions = _field(sessions, name) not in (None, "user_id") and _field([AuthUser], name) is None
        if is_of_users or not is_of_sessions:
            of_user[name] = value
        if is_of_sessions:
            of_session[name] = value
    names = [field for model in sessions for field in model.model_fields if field != "user_id"]
    return _resolved(users, of_user, AuthUser.__name__, names), _resolved(sessions, of_session, AuthSession.__name__)


def _resolved(
    models: list[type[BaseModel]], given: Mapping[str, object], of: str, others: list[str] | None = None
) -> dict[str, object]:
    resolved: dict[str, object] = {}
    for name, value in given.items():
        field = _field(models, name)
        if field is None:
            known = [*(field for model in models for field in model.model_fields), *(others or [])]
            [*nearest] = get_close_matches(name, known, n=1)
            raise TypeError(f"{of} has no field {name}{f': did you mean {nearest[0]}?' if nearest else ''}")
        if field in resolved:
            raise TypeError(f"{of}.{field} is given twice, also as {name}")
        resolved[field] = value
    return resolved


def _field(models: list[type[BaseModel]], name: str) -> str | None:
    """The field by this name, this alias or this name in camelCase, in this order."""
    if any(name in model.model_fields for model in models):
        return name
    fields = [pair for model in models for pair in model_fields(model)]
    by_alias = [field for field, aliases in fields if name in aliases]
    in_camel_case = [field for field, _ in fields if camel_case(field) == name]
    return next(iter([*by_alias, *in_camel_case]), None)


def camel_case(name: str) -> str:
    """As Better Auth's TypeScript spells it."""
    first, *others = name.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in others)


def _below(base: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for model in base.__subclasses__():
        yield model
        yield from _below(model)
