"""What each response may be: who is signed in, since when, and how stale each mode may be."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum


@dataclass(frozen=True)
class Window:
    """A change happened between `begin`, when it was requested, and `end`, when it was acknowledged.

    In seconds of the event loop's clock. A change whose acknowledgement was lost may happen at any time: its end is
    infinite.
    """

    begin: float
    end: float

    @classmethod
    def never(cls) -> Window:
        return cls(math.inf, math.inf)


@dataclass
class Invalid:
    """A time in which a credential is invalid, from one change until another one."""

    since: Window
    until: Window = field(default_factory=Window.never)

    def is_certain_throughout(self, begin: float, end: float) -> bool:
        return self.since.end < begin and self.until.begin > end

    def is_possible_within(self, begin: float, end: float) -> bool:
        return self.since.begin <= end and self.until.end >= begin


@dataclass
class Person:
    """Somebody with an account. Each list grows in the order of time."""

    id: str
    email: str
    password: str
    # Banned or deleted.
    invalid: list[Invalid] = field(default_factory=list[Invalid])
    # Every role with the change that set it; the first one is from the sign-up.
    roles: list[tuple[str | None, Window]] = field(default_factory=list[tuple[str | None, Window]])


class Kind(Enum):
    """How a request presents a session."""

    COOKIE = "cookie"
    BEARER = "bearer"
    JWT = "jwt"


@dataclass
class Credential:
    """What a request presents. `person` is None if it is forged, or its session never existed."""

    kind: Kind
    headers: dict[str, str]
    person: Person | None
    # Signed out, revoked or expired.
    invalid: list[Invalid] = field(default_factory=list[Invalid])
    # The role in a snapshot, if a JWT's claims are the user.
    claimed_role: str | None = None


@dataclass(frozen=True)
class Promise:
    """How stale one route may be for one kind of credential.

    `seconds`: how long an ended session may stay valid. `sees_user`: whether a change of the user's row counts at all.
    """

    seconds: float
    sees_user: bool = True


@dataclass(frozen=True)
class Response:
    """What a route returned, between the two times."""

    status: int
    user_id: str | None
    role: str | None
    begin: float
    end: float


class Verdict(Enum):
    """What the model says about a response."""

    RIGHT = "right"
    WRONG_USER = "another user"
    WRONG_ROLE = "a role that the user did not have"
    ACCEPTED_FORGERY = "a forged credential accepted"
    STALE = "valid for longer than is promised"
    REFUSED_GOOD = "a valid session refused"
    UNAVAILABLE = "503 without a fault"
    OTHER = "another status"


def judge(credential: Credential, promise: Promise, response: Response, faults: Iterable[Window]) -> Verdict:
    """Whether this response may be given. `faults` are the times in which the store may be unavailable."""
    if response.status == 503:
        is_excused = any(fault.begin <= response.end and response.begin <= fault.end for fault in faults)
        return Verdict.RIGHT if is_excused else Verdict.UNAVAILABLE
    if response.status == 401:
        return _of_a_refusal(credential, promise, response)
    if response.status != 200:
        return Verdict.OTHER
    return _of_an_identity(credential, promise, response)


def must_have_ended(credential: Credential, promise: Promise, at: float, begin: float) -> bool:
    """Whether a connection that was opened at `begin` may not be open at this time any more."""
    allowed = at - promise.seconds
    return any(
        invalid.since.end < allowed and invalid.since.end > begin and invalid.until.begin > at
        for invalid in _invalid(credential, promise)
    )


def may_have_ended(credential: Credential, promise: Promise, begin: float, end: float) -> bool:
    """Whether the session may have been invalid at some moment between these two."""
    return any(invalid.is_possible_within(begin, end) for invalid in _invalid(credential, promise))


def _of_an_identity(credential: Credential, promise: Promise, response: Response) -> Verdict:
    if credential.person is None:
        return Verdict.ACCEPTED_FORGERY
    if response.user_id != credential.person.id:
        return Verdict.WRONG_USER
    since = response.begin - promise.seconds
    if any(invalid.is_certain_throughout(since, response.end) for invalid in _invalid(credential, promise)):
        return Verdict.STALE
    if response.role not in _possible_roles(credential, promise, since, response.end):
        return Verdict.WRONG_ROLE
    return Verdict.RIGHT


def _of_a_refusal(credential: Credential, promise: Promise, response: Response) -> Verdict:
    if credential.person is None or may_have_ended(credential, promise, response.begin, response.end):
        return Verdict.RIGHT
    return Verdict.REFUSED_GOOD


def _invalid(credential: Credential, promise: Promise) -> Sequence[Invalid]:
    of_person = credential.person.invalid if credential.person and promise.sees_user else []
    return [*credential.invalid, *of_person]


def _possible_roles(credential: Credential, promise: Promise, begin: float, end: float) -> set[str | None]:
    if not promise.sees_user:
        return {credential.claimed_role}
    roles = credential.person.roles if credential.person else []
    nexts = [*(window for _, window in roles[1:]), Window.never()]
    return {
        role
        for (role, since), replaced in zip(roles, nexts, strict=True)
        if since.begin <= end and replaced.end >= begin
    }
