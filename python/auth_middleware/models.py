"""The session and its user. A subclass selects exactly the further columns that it declares."""

from datetime import datetime
from functools import cached_property
from itertools import chain
from types import NoneType
from typing import Generic, NamedTuple

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypeVar


class _Row(BaseModel):
    """Frozen, so that one request cannot change what another sees. Errors show no values."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, from_attributes=False)


class AuthUser(_Row):
    """A row of Better Auth's `user` table.

    Subclass it to read more columns: `class Member(AuthUser): role: str | None = None`.
    """

    id: str
    name: str
    email: str
    email_verified: bool
    image: str | None
    created_at: datetime | None
    updated_at: datetime | None


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
    """Who sent the request: unpacks as `session, user`."""

    session: SessionT_co
    user: UserT_co


def own_fields(model: type[BaseModel], base: type[BaseModel]) -> list[tuple[str, bool]]:
    """The fields that a subclass declares beyond Better Auth's own, and whether each is required."""
    fields = model.model_fields.items()
    return [(name, field.is_required()) for name, field in fields if name not in base.model_fields]


# Nobody can change one of these.
_IMMUTABLE = frozenset({str, int, float, bool, NoneType, datetime})


def is_shareable_model(model: type[BaseModel]) -> bool:
    """Whether its instances hold nothing but their fields, which cannot be set anew."""
    attributes = chain.from_iterable(vars(each).values() for each in model.__mro__)
    return (
        bool(model.model_config.get("frozen"))
        and model.model_config.get("extra") != "allow"
        and not model.__private_attributes__
        and not any(isinstance(each, cached_property) for each in attributes)
    )


def is_shareable(row: BaseModel) -> bool:
    """Whether requests may share it: pydantic's `frozen` is shallow, and a list in it could be appended to."""
    return all(type(value) in _IMMUTABLE for value in vars(row).values())
