"""Sends one request to Better Auth or to us, and returns the result in a common form."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeAlias

from pydantic import BaseModel
from starlette.requests import HTTPConnection

from auth_middleware import Auth, AuthError, AuthSession, AuthUser
from dev.better_auth.strategies import Strategy, StrategyServers
from tests.better_auth.agreement.users import UserSession
from tests.support.outcomes import outcome

# Values by field, such as `user.email`; null fields are left out. None is no session, a str is an error.
Result: TypeAlias = Mapping[str, Any] | str | None


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
    """A request with these Cookie headers, to Better Auth of `version` with `strategy`."""

    version: tuple[int, ...]
    strategy: Strategy
    skips_cache: bool
    session: UserSession
    mutation: str
    headers: tuple[bytes, ...]

    def __str__(self) -> str:
        source = "store" if self.skips_cache else "cache"
        return f"{'.'.join(map(str, self.version))} {self.strategy} ({source}): {self.session.label}: {self.mutation}"


async def ours(auth: Auth[MemberSession, Member], headers: Sequence[bytes]) -> Result:
    """Our result."""
    scope = {"type": "http", "method": "GET", "headers": [(b"cookie", value) for value in headers]}
    try:
        answer = await outcome(auth, HTTPConnection(scope))
    except AuthError as error:
        return f"{type(error).__name__}: {error}"
    if isinstance(answer, str):
        return None
    # `model_dump` leaves out the token.
    return _flat("session", answer.session) | {"session.token": answer.session.token} | _flat("user", answer.user)


def theirs(servers: StrategyServers, strategy: Strategy, headers: Sequence[bytes], query: str = "") -> Result:
    """Better Auth's result."""
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


def differences(one: Result, other: Result) -> set[str]:
    """The fields in which two results differ; "." if one of them is no session or an error."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return {field for field in one.keys() | other.keys() if one.get(field) != other.get(field)}
    return set() if one == other else {"."}
