"""Values for fields that a model requires and a test does not pass."""

import dataclasses
import uuid
from collections.abc import Iterator
from datetime import datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from itertools import chain, islice, product
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, PydanticUserError, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from typing_extensions import is_typeddict

from auth_middleware.models import keys_by_field

# How many combinations of the values of nested fields are tried, and how deep models may be nested.
_MOST_TRIED = 200
_DEEPEST = 6
# Texts that pydantic's own types accept: addresses, numbers, JSON, paths, times.
_TEXTS = (
    "https://example.com",
    "user@example.com",
    "postgresql://example.com/app",
    "redis://example.com",
    "example.com",
    "192.0.2.1",
    "192.0.2.0/24",
    "2001:db8::1",
    "2001:db8::/32",
    "0",
    "{}",
    "/",
    "UTC",
    "a",
    "A",
    "00000000-0000-4000-8000-000000000000",
    "+1 202-555-0100",
    "+12025550100",
)


def made_up(model: type[BaseModel], name: str, field: FieldInfo, now: datetime) -> object:
    """A value that fits the field.

    Raises:
        TypeError: none is found.
    """
    annotated: Any = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
    adapter = _validator(annotated)
    for value in islice(_values(annotated, name, now, 0), _MOST_TRIED):
        if _fits(adapter, value):
            return value
    raise TypeError(
        f"{model.__name__}.{name} is required, and no value can be generated for {field.annotation}: pass {name}=…"
    )


def _validator(annotated: Any) -> TypeAdapter[Any]:
    """What validates the field by itself."""
    try:
        return TypeAdapter(annotated, config=ConfigDict(arbitrary_types_allowed=True))
    except PydanticUserError:  # models have a configuration of their own
        return TypeAdapter(annotated)


def _fits(adapter: TypeAdapter[Any], value: object) -> bool:
    try:
        adapter.validate_python(value)
    except ValidationError:
        return False
    return True


def _values(kind: Any, name: str, now: datetime, depth: int) -> Iterator[Any]:
    """Values that may fit, the most likely ones first."""
    limits: list[object] = []
    while get_origin(kind) is Annotated:
        kind, *metadata = get_args(kind)
        limits += metadata
    if hasattr(kind, "__value__"):  # `type Name = …`
        kind = kind.__value__
    arguments = get_args(kind)
    if kind in (Any, None, NoneType) or NoneType in arguments:
        yield None
    origin: Any = get_origin(kind) or kind
    if depth > _DEEPEST:
        return
    if origin in (Union, UnionType):
        for each in arguments:
            yield from _values(each, name, now, depth + 1)
    elif origin is Literal:
        yield from arguments
    elif isinstance(origin, type):
        yield from _of_type(origin, arguments, limits, name=name, now=now, depth=depth)


def _of_type(
    kind: type[Any], arguments: tuple[Any, ...], limits: list[object], *, name: str, now: datetime, depth: int
) -> Iterator[Any]:
    if issubclass(kind, Enum):
        yield from kind
        return
    if fields := _required(kind):
        names = list(fields)
        each = [list(islice(_values(fields[key], key, now, depth + 1), 8)) for key in names]
        for combination in _combinations(each):
            yield dict(zip(names, combination, strict=True))
        return
    if kind is tuple and arguments and Ellipsis not in arguments:
        yield from _combinations([list(islice(_values(each, name, now, depth + 1), 8)) for each in arguments])
        return
    if issubclass(kind, bool):
        yield from (False, True)
    if issubclass(kind, int | float | Decimal):
        yield from _numbers(limits)
    if kind is uuid.UUID:
        yield uuid.uuid4()
    if issubclass(kind, datetime):
        yield from (now, now + timedelta(days=1), now - timedelta(days=1), now.replace(tzinfo=None))
    shortest = _limit(limits, "min_length") or 0
    longest = _limit(limits, "max_length")
    if not issubclass(kind, str | bytes):
        yield from ([], {})
        if arguments and shortest:
            items = islice(_values(arguments[0], name, now, depth + 1), _MOST_TRIED // 8)
            found = list(dict.fromkeys(item for item in items if item.__hash__))
            yield from ([item] * shortest for item in found)
            yield found[:shortest]
            if len(arguments) == 2:
                others = list(islice(_values(arguments[1], name, now, depth + 1), 8))
                yield from (dict.fromkeys(found[:shortest], other) for other in others)
        yield from (
            now.date(),
            time(),
            timedelta(),
            now,
            now.date() + timedelta(days=1),
            now.date() - timedelta(days=1),
        )
        yield timedelta(seconds=1)
    for text in (name, *_TEXTS):
        padded = text.ljust(shortest, "x")
        yield padded[:longest] if longest is not None else padded
    yield from _numbers(limits)


def _numbers(limits: list[object]) -> Iterator[Any]:
    """Zero where it fits, and what lies next to each limit."""
    yield from (0, 0.0, 1, -1)
    step = _limit(limits, "multiple_of") or 1
    yield from (step, -step)
    for name in ("ge", "gt", "le", "lt"):
        limit = _limit(limits, name)
        if isinstance(limit, int | float | Decimal):
            above = limit // step * step
            yield from (limit, above, above + step, above - step)
    least, most = (_limit(limits, low) for low in ("gt", "lt"))
    if isinstance(least, int | float) and isinstance(most, int | float):
        yield (least + most) / 2


def _limit(limits: list[object], name: str) -> Any:
    found = (value for each in limits if (value := getattr(each, name, None)) is not None)
    inner = (_limit(list(each.metadata), name) for each in limits if isinstance(each, FieldInfo))
    return next(chain(found, inner), None)


def _required(kind: type[Any]) -> dict[str, Any]:
    """The required fields of a nested model, a TypedDict or a dataclass, by the key that validation expects."""
    if issubclass(kind, BaseModel):
        keys = keys_by_field(kind)
        required = {name: field for name, field in kind.model_fields.items() if field.is_required()}
        return {
            keys.get(name, name): Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
            for name, field in required.items()
        }
    if is_typeddict(kind):
        hints = get_type_hints(kind, include_extras=True)
        needed: frozenset[str] = vars(kind)["__required_keys__"]
        return {name: hint for name, hint in hints.items() if name in needed and get_origin(hint) is not NotRequired}
    if dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind, include_extras=True)
        missing = dataclasses.MISSING
        return {
            field.name: hints[field.name]
            for field in dataclasses.fields(kind)
            if field.default is missing and field.default_factory is missing
        }
    return {}


def _combinations(each: list[list[Any]]) -> Iterator[tuple[Any, ...]]:
    return islice(product(*each), _MOST_TRIED)
