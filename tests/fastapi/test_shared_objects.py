"""Requests share an object only if its class runs no code of the application and has no state except its fields."""

from collections.abc import Callable
from contextvars import ContextVar
from functools import cached_property
from typing import Annotated, Any, ClassVar
from uuid import uuid4

import pytest
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    PlainValidator,
    PrivateAttr,
    WrapValidator,
    computed_field,
    field_validator,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema
from starlette.requests import HTTPConnection

from auth_middleware import AuthUser
from auth_middleware.models import is_shareable_model
from tests.support.databases import Database
from tests.support.instances import MakeAuth

tenant: ContextVar[str] = ContextVar("tenant")


def of_tenant(_value: object = None) -> str:
    return tenant.get("none")


class ByFieldValidator(AuthUser):
    tag: str

    @field_validator("tag", mode="before")
    @classmethod
    def _tag(cls, _value: object) -> str:
        return of_tenant()


class ByModelValidator(AuthUser):
    tag: str

    @model_validator(mode="before")
    @classmethod
    def _tag(cls, values: dict[str, Any]) -> dict[str, Any]:
        return values | {"tag": of_tenant()}


class ByAfterModelValidator(AuthUser):
    tag: str

    @model_validator(mode="after")
    def _tag(self) -> "ByAfterModelValidator":
        object.__setattr__(self, "tag", of_tenant())
        return self


class ByBeforeValidator(AuthUser):
    tag: Annotated[str, BeforeValidator(of_tenant)]


class ByAfterValidator(AuthUser):
    tag: Annotated[str, AfterValidator(of_tenant)]


class ByPlainValidator(AuthUser):
    tag: Annotated[str, PlainValidator(of_tenant)]


class ByWrapValidator(AuthUser):
    tag: Annotated[str, WrapValidator(lambda _value, _handler: of_tenant())]


class InAnOptional(AuthUser):
    tag: Annotated[str, AfterValidator(of_tenant)] | None = None


class ByPostInit(AuthUser):
    tag: str

    def model_post_init(self, _context: Any, /) -> None:
        object.__setattr__(self, "tag", of_tenant())


class Text:
    """A type with its own core schema, whose values are plain strings."""

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(of_tenant)


class ByType(AuthUser):
    tag: Text


class ByInit(AuthUser):
    tag: str

    def __init__(self, **values: Any) -> None:
        values["tag"] = of_tenant()
        super().__init__(**values)


class ByAttributeAccess(AuthUser):
    tag: str

    def __getattribute__(self, name: str) -> Any:
        return of_tenant() if name == "tag" else super().__getattribute__(name)


class ByInheritance(ByAfterValidator):
    pass


READS_THE_CONTEXT: list[type[AuthUser]] = [
    ByFieldValidator,
    ByModelValidator,
    ByAfterModelValidator,
    ByBeforeValidator,
    ByAfterValidator,
    ByPlainValidator,
    ByWrapValidator,
    InAnOptional,
    ByPostInit,
    ByType,
    ByInit,
    ByAttributeAccess,
    ByInheritance,
]


@pytest.mark.parametrize("model", READS_THE_CONTEXT)
async def test_a_model_that_reads_a_requests_context_is_not_shared(
    database: Database, make_auth: MakeAuth, model: type[AuthUser]
) -> None:
    database.execute("""ALTER TABLE "user" ADD tag text NOT NULL DEFAULT 'row'""")
    who = database.sign_in()
    auth = make_auth(freshness="3600", user_model=model)
    seen: list[str] = []
    for name in ("red", "blue", "green", "blue"):
        tenant.set(name)
        seen.append((await auth.current_user(request(who.headers))).tag)
    assert seen == ["red", "blue", "green", "blue"]
    assert auth.counters["live_cache"] == 3


def request(headers: dict[str, str]) -> HTTPConnection:
    pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    return HTTPConnection({"type": "http", "method": "GET", "headers": pairs})


class Numbered(AuthUser):
    number: str = Field(default_factory=lambda: uuid4().hex)


class Cached(AuthUser):
    @cached_property
    def words(self) -> list[str]:
        return []


class Computed(AuthUser):
    @computed_field
    @property
    def label(self) -> str:
        return of_tenant()


class RememberingProperty(AuthUser):
    @property
    def words(self) -> list[str]:
        return vars(self).setdefault("_words", [])


class RememberingMethod(AuthUser):
    def words(self) -> list[str]:
        return vars(self).setdefault("_words", [])


class Mixin:
    @property
    def words(self) -> list[str]:
        return vars(self).setdefault("_words", [])


class Mixed(Mixin, AuthUser):
    pass


class Slotted(AuthUser):
    __slots__ = ("words",)


class Nested(BaseModel):
    value: Annotated[str, AfterValidator(of_tenant)]


class WithNested(AuthUser):
    nested: Nested | None = None


class Private(AuthUser):
    _words: list[str] = PrivateAttr(default_factory=list[str])


class Loose(AuthUser):
    model_config = ConfigDict(frozen=False)


class Open(AuthUser):
    model_config = ConfigDict(extra="allow")


class Deferred(AuthUser):
    later: "Unknown"  # type: ignore[name-defined] # noqa: F821 # pyright: ignore[reportUndefinedVariable]


NOT_PLAIN = [
    *READS_THE_CONTEXT,
    Numbered,
    Cached,
    Computed,
    RememberingProperty,
    RememberingMethod,
    Mixed,
    Slotted,
    WithNested,
    Private,
    Loose,
    Open,
    Deferred,
]


class Member(AuthUser):
    """A documented model."""

    LEVELS: ClassVar[int] = 3
    model_config = ConfigDict(str_strip_whitespace=True)

    role: str | None = None
    level: Annotated[int, Field(ge=0, description="how far")] = 0
    nick_name: str = Field(default="", max_length=40)


class Editor(Member):
    desk: str | None


@pytest.mark.parametrize("model", NOT_PLAIN)
def test_a_model_with_code_or_state_is_not_shared(model: type[AuthUser]) -> None:
    assert not is_shareable_model(model)


@pytest.mark.parametrize("model", [AuthUser, Member, Editor])
def test_a_model_with_only_plain_fields_is_shared(model: type[AuthUser]) -> None:
    assert is_shareable_model(model)


CHANGES: dict[str, Callable[[set[str]], None]] = {
    "add": lambda fields: fields.add("poison"),
    "discard": lambda fields: fields.discard("email"),
    "clear": lambda fields: fields.clear(),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_each_request_has_its_own_set_of_fields(database: Database, make_auth: MakeAuth, change: str) -> None:
    who = database.sign_in()
    auth = make_auth(freshness="3600")
    await auth.current_user(request(who.headers))
    first = await auth.validate_session(who.cookie_value)
    assert first
    for row in first:
        CHANGES[change](row.model_fields_set)
    second = await auth.validate_session(who.cookie_value)
    assert second
    assert second.user.model_fields_set == set(AuthUser.model_fields)
    assert second.session.model_fields_set >= {"id", "token"}
    assert second.user.model_dump(exclude_unset=True) == second.user.model_dump()
    assert "poison" not in first.user.model_copy(update={"name": "Grace"}).model_fields_set
