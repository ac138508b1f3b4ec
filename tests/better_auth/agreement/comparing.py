"""One question to both, and the answers in one form."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeAlias

from pydantic import BaseModel
from starlette.requests import HTTPConnection

from auth_middleware import Auth, AuthError, AuthSession, AuthUser
from tests.better_auth.agreement.people import Person
from tests.better_auth.agreement.servers import BetterAuths, Strategy
from tests.support.outcomes import outcome

# Field by field as `user.email`, absent and null alike; None is nobody, a text is an error.
Answer: TypeAlias = Mapping[str, Any] | str | None


class Member(AuthUser):
    nickname: str | None = None
    score: float | None = None
    is_active: bool | None = None
    joined_at: datetime | None = None
    tags: list[str] | None = None
    bio: str | None = None


class MemberSession(AuthSession):
    device_name: str | None = None


class Case(NamedTuple):
    """A question: to Better Auth of `version` by `strategy`, about these Cookie headers."""

    version: tuple[int, ...]
    strategy: Strategy
    asks_store: bool
    who: Person
    mutation: str
    headers: tuple[bytes, ...]

    def __str__(self) -> str:
        way = "store" if self.asks_store else "cache"
        return f"{'.'.join(map(str, self.version))} {self.strategy} ({way}): {self.who.label}: {self.mutation}"


async def ours(auth: Auth[MemberSession, Member], headers: Sequence[bytes]) -> Answer:
    """What we say."""
    scope = {"type": "http", "method": "GET", "headers": [(b"cookie", value) for value in headers]}
    try:
        answer = await outcome(auth, HTTPConnection(scope))
    except AuthError as error:
        return f"{type(error).__name__}: {error}"
    if isinstance(answer, str):
        return None
    # A token is in no dump.
    return _flat("session", answer.session) | {"session.token": answer.session.token} | _flat("user", answer.user)


def theirs(servers: BetterAuths, strategy: Strategy, headers: Sequence[bytes], query: str = "") -> Answer:
    """What Better Auth says."""
    reply = servers.get_session(strategy, headers, query)
    if reply.status != 200:
        return f"status {reply.status}"
    if reply.body is None:
        return None
    return {
        f"{model}.{field}": value
        for model in ("session", "user")
        for field, value in reply.body[model].items()
        if value is not None
    }


def _flat(model: str, row: BaseModel) -> dict[str, Any]:
    fields = {f"{model}.{_camel(name)}": _plain(value) for name, value in row.model_dump().items()}
    return {name: value for name, value in fields.items() if value is not None}


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return value


def differing(one: Answer, other: Answer) -> set[str]:
    """The fields in which two answers differ; "." where one names nobody."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return {field for field in one.keys() | other.keys() if one.get(field) != other.get(field)}
    return set() if one == other else {"."}
