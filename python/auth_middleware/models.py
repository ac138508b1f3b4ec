"""The session and its user. For each field that a subclass declares, one more column is read."""

from datetime import datetime
from types import NoneType
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, get_args

from pydantic import AliasChoices, BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo
from typing_extensions import TypeVar


class _Row(BaseModel):
    """Frozen, because requests may share an instance. Errors show no values."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, from_attributes=False)

    @property
    def model_fields_set(self) -> set[str]:
        """The fields that were set. A new set each time: the instance's own one is not frozen."""
        return set(self.__pydantic_fields_set__)


class AuthUser(_Row):
    """A row of Better Auth's `user` table.

    Subclass it to read more columns: `class Member(AuthUser): role: str | None = None`.

    Like Starlette's users, it has `is_authenticated`, `display_name` (the name) and `identity` (the id), unless a
    subclass declares something else by that name.
    """

    id: str
    name: str
    email: str
    email_verified: bool
    image: str | None
    created_at: datetime | None
    updated_at: datetime | None

    # Properties would be taken for the default of a field of the same name, and hide its value.
    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            match name:
                case "is_authenticated":
                    return True
                case "display_name":
                    return self.name or ""
                case "identity":
                    return self.id
                case _:
                    return super().__getattr__(name)


class AuthSession(_Row):
    """A row of Better Auth's `session` table. Times are aware.

    `token` is a bearer credential: readable, but in no repr and in no dump.
    """

    id: str
    user_id: str
    token: str = Field(repr=False, exclude=True)
    expires_at: datetime
    ip_address: str | None
    user_agent: str | None
    created_at: datetime | None
    updated_at: datetime | None


UserT_co = TypeVar("UserT_co", bound=AuthUser, default=AuthUser, covariant=True)
SessionT_co = TypeVar("SessionT_co", bound=AuthSession, default=AuthSession, covariant=True)


class Identity(NamedTuple, Generic[SessionT_co, UserT_co]):
    """Who sent the request: unpacks as `session, user`.

    A JWT has no session. If `credentials` lists `jwt`, `session` is None for a request that presents one; its type does
    not say so, because applications that accept no JWTs would have to check for something that never happens.
    """

    session: SessionT_co
    user: UserT_co


class CacheSize(NamedTuple):
    """The sessions that are cached in this process."""

    sessions: int
    bytes: int
    """What they take in Rust; cached Python objects come on top."""


def model_fields(model: type[BaseModel]) -> list[tuple[str, list[str]]]:
    """The fields that are read, each with the aliases that its column may have as a name."""
    return [(name, _aliases(field)) for name, field in model.model_fields.items()]


def keys_by_field(model: type[BaseModel]) -> dict[str, str]:
    """The key by which validation expects a field, if that is not the field's name."""
    fields = model.model_fields.items()
    validated = {name: _texts(field.validation_alias or field.alias) for name, field in fields}
    return {name: aliases[0] for name, aliases in validated.items() if aliases and aliases[0] != name}


def accepts_none(model: type[BaseModel], field: str) -> bool:
    """Whether a field of the model may be None."""
    annotation = model.model_fields[field].annotation
    return annotation in (Any, None) or NoneType in get_args(annotation)


def _aliases(field: FieldInfo) -> list[str]:
    return list(dict.fromkeys((*_texts(field.alias), *_texts(field.validation_alias))))


def _texts(alias: object) -> list[str]:
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
    return [choice for choice in choices if isinstance(choice, str)]


def is_shareable_model(model: type[BaseModel]) -> bool:
    """Whether requests may share its instances: it has fields of plain types and nothing else.

    Validators, factories, methods and properties are code of the application, which may read the context of a request
    or keep something of it in the instance.
    """
    own_classes = [each for each in model.__mro__ if each not in _KNOWN_CLASSES]
    return (
        type(model) is type(BaseModel)
        and bool(model.model_config.get("frozen"))
        and model.model_config.get("extra") != "allow"
        and not model.__private_attributes__
        and not any(map(_has_code, own_classes))
        and _is_plain(model.__pydantic_core_schema__)
    )


def is_shareable(row: BaseModel) -> bool:
    """Whether requests may share it: pydantic's `frozen` is shallow, so one of them could append to a list in it."""
    return all(type(value) in _IMMUTABLE for value in vars(row).values())


_KNOWN_CLASSES = frozenset({AuthUser, AuthSession, _Row, BaseModel, Generic, object})
_IMMUTABLE = frozenset({str, int, float, bool, NoneType, datetime})
# The names that Python and pydantic themselves add to the namespace of a class.
_GENERATED = frozenset({"__hash__", "__signature__", "__annotate__", "__annotate_func__", "__weakref__", "__dict__"})
# Schemas of pydantic that call no code of the application, and whose values keep nothing.
_PLAIN_SCHEMAS = frozenset({"str", "int", "float", "bool", "datetime", "none", "literal"})


def _has_code(own_class: type) -> bool:
    """Whether it defines a function, a property or another descriptor."""
    declared: dict[str, object] = {
        name: value
        for name, value in vars(own_class).items()
        if name not in _GENERATED and not name.startswith("__pydantic_")
    }
    return any(hasattr(value.__class__, "__get__") for value in declared.values())


def _is_plain(schema: Any) -> bool:
    """Whether validation by this core schema of pydantic calls no code of the application."""
    fields: dict[str, Any]
    if schema.__class__ is not dict:
        return False  # not built yet: it refers to a class that is defined later
    match schema:
        case {"custom_init": True} | {"post_init": str()} | {"default_factory": _} | {"computed_fields": [_, *_]}:
            return False
        case {"type": "model" | "model-field" | "nullable" | "default", "schema": inner}:
            return _is_plain(inner)
        case {"type": "model-fields", "fields": fields}:
            return all(map(_is_plain, fields.values()))
        case {"type": str(kind)}:
            return kind in _PLAIN_SCHEMAS
        case _:
            return False
