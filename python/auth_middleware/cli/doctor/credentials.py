"""Why a pasted cookie, token or header is accepted or refused. The engine decides, as for a request."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

from pydantic import ValidationError

from auth_middleware._core import Core, Diagnosis, Found, Refused
from auth_middleware.cli.doctor import cookie_steps, faulty, header_steps, token_steps, variables
from auth_middleware.cli.doctor.findings import Finding, Report, Status, fault, of_error, ok, warning
from auth_middleware.errors import AuthError
from auth_middleware.models import AuthSession, AuthUser
from auth_middleware.row_models import RowModels
from auth_middleware.settings import AuthSettings

Headers = Sequence[tuple[bytes, bytes]]

# Reasons of the engine, by what they mean for somebody who pasted a credential.
REASONS = {
    "unknown_session": (
        "its signature is good, but no session row has its token: the user signed out, the session was deleted or is "
        "in another database, or Better Auth keeps its sessions in secondary storage",
        "Sign in again. If the new cookie is refused too, check that DATABASE_URL is the auth server's database. If it "
        "has a secondaryStorage, set session.storeSessionInDatabase: true there",
    ),
    "expired": (
        "it has expired",
        "Sign in again, or request a new token. If it should still be valid, compare the clocks of the API and the "
        "auth server; where expires_at is a timestamp without time zone, set AUTH_MIDDLEWARE_DATABASE_TIME_ZONE to the "
        "zone that it was written in",
    ),
    "banned": (
        "its user is banned",
        "Lift the ban at the auth server (unbanUser of the admin plugin) if it is a mistake",
    ),
    "unknown_user": (
        "the row of its user is gone",
        "Sign up again. If the user should exist, check that DATABASE_URL is the auth server's database",
    ),
    "unreadable": ("its row cannot be read as a session", "Look for a second row with this token, or a NULL in it"),
}
# Better Auth's tokens and signatures have such runs; names of cookies and headers do not.
_TOKENS = re.compile(r"[A-Za-z0-9+/]{20,}")
# Attributes of Set-Cookie, which are not secret.
_ATTRIBUTES = frozenset(
    ("secure", "httponly", "partitioned", "domain", "path", "samesite", "priority", "max-age", "expires")
)
_NAMES = frozenset(("cookie", "set-cookie", "authorization", "bearer", "authorization: bearer"))
_MIN_SECRET = 8
ROW = "a session row has its token"
_MODELS: RowModels[AuthSession, AuthUser] = RowModels(AuthUser, AuthSession)


@dataclass(frozen=True)
class Pasted:
    """The credentials to examine."""

    cookie: str | None = None
    token: str | None = None
    headers: Sequence[str] = ()

    def is_any(self) -> bool:
        return self.cookie is not None or self.token is not None or bool(self.headers)

    def secrets(self) -> Iterator[str]:
        """What must not be shown: every value, and the parts of signed ones."""
        for text in filter(None, (self.cookie, self.token, *self.headers)):
            # Anywhere in the text, even in place of a cookie's name.
            yield from _TOKENS.findall(text)
            yield from _TOKENS.findall(unquote(text))
            pairs = text.partition(":")[2].split(";") if self.token != text and ":" in text else text.split(";")
            for pair in (text, *pairs):
                name = pair.partition("=")[0].strip().lower()
                if name in _ATTRIBUTES:
                    continue
                for value in (pair, pair.partition("=")[2], pair.rpartition(" ")[2]):
                    for spelling in (value.strip(), value.strip(" \"'"), unquote(value.strip(" \"'"))):
                        # Shorter values are not generated secrets, and hiding them would garble the findings.
                        if len(spelling) < _MIN_SECRET or spelling.rstrip(": ").lower() in _NAMES:
                            continue
                        yield spelling
                        # What has a name before the value is hidden whole; its name is no secret.
                        if "=" not in spelling.rstrip("="):
                            yield from (part for part in spelling.split(".") if len(part) >= 16)


async def examine(
    report: Report,
    settings: AuthSettings,
    diagnosis: Diagnosis,
    pasted: Pasted,
    keys: list[dict[str, Any]],
) -> None:
    """Reports each step for the credentials."""
    if not pasted.is_any() or diagnosis.effective is None:
        return
    effective = faulty.without_placeholders(settings, diagnosis)
    core = None if diagnosis.faults else Core(settings.for_core(), [], [])
    others = [*faulty.secrets_without_faults(settings, diagnosis), *variables.other_secrets(settings)]
    try:
        if pasted.cookie is not None:
            steps = cookie_steps.steps("cookie", pasted.cookie, diagnosis, effective, others)
            report.add(*steps)
            headers = cookie_steps.as_headers(pasted.cookie, diagnosis, effective)
            report.add(*await _last_word("cookie", core, headers, steps))
        if pasted.token is not None:
            token = pasted.token.strip()
            if header_steps.is_session_token(token, effective):
                steps = list(header_steps.bearer("token", token, diagnosis, effective, others))
            else:
                steps = token_steps.steps("token", pasted.token, diagnosis, effective, keys)
            report.add(*steps)
            headers = [(b"authorization", b"Bearer " + _bytes(pasted.token.strip()))]
            report.add(*await _last_word("token", core, headers, steps))
        if pasted.headers:
            headers, steps = header_steps.steps(pasted.headers, diagnosis, effective, others, keys)
            report.add(*steps)
            report.add(*await _last_word("header", core, headers, steps))
    finally:
        if core:
            core.close()


async def _last_word(area: str, core: Core | None, headers: Headers, steps: Sequence[Finding]) -> list[Finding]:
    """The outcome of a request with these headers."""
    if core is None:
        return [fault(area, "whether it is accepted is unknown: a setting is wrong", "Fix the settings first")]
    outcome = await _identify(core, headers)
    if isinstance(outcome, AuthError):
        return [of_error(area, outcome, "Requests with it get 503 until this is fixed")]
    if isinstance(outcome, Found):
        session, user = outcome.fields()
        row = [ok(area, ROW), _expiry(area, session)] if session else []
        return [*row, ok(area, "its user exists and is not banned"), _accepted(area, core, outcome, user["id"])]
    detail = f": {outcome.detail}" if outcome.detail else ""
    message, fix = REASONS.get(outcome.reason, ("", ""))
    if outcome.expired_at is not None:
        message += f": its expires_at is {_past(outcome.expired_at)}"
    if outcome.cause == "clock_ahead" and (advice := core.advice(outcome)):
        fix = f"{advice[0][0].upper()}{advice[0][1:]}"
    if message:
        is_session = area == "cookie" and outcome.reason in ("expired", "banned", "unknown_user")
        refused = fault(area, f"{message}. The API responds with 401 ({outcome.reason})", fix)
        return [*([ok(area, ROW)] if is_session else []), refused]
    # The previous steps give the reason.
    is_explained = any(step.status is Status.FAULT for step in steps)
    advice = core.advice(outcome)
    fix = "Fix the fault above" if is_explained else advice[0] if advice else "Sign in again"
    return [fault(area, f"the API responds with 401 ({outcome.reason}{detail})", fix)]


def _accepted(area: str, core: Core, found: Found, user_id: str) -> Finding:
    try:
        _MODELS.identity(found)
    except ValidationError as error:
        what = "its row does" if found.fields()[0] else "its row, or its claims, do"
        message = f"{what} not fit {error.title}: {_MODELS.misfits(core, found, error)}"
        fix = (
            "Change the application's model as described: until then, requests get 503. If the application already has "
            "such a model, ignore this"
        )
        return warning(area, message, fix)
    return ok(area, f"the API accepts it: it is the user {user_id}")


async def _identify(core: Core, headers: Headers) -> Found | Refused | AuthError:
    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": "/", "headers": list(headers)}
    try:
        state = core.identify(scope)
        return state.verdict or await state
    except AuthError as error:
        return error


def _bytes(text: str) -> bytes:
    return text.encode("latin-1", "replace")


def _expiry(area: str, session: dict[str, Any]) -> Finding:
    return ok(area, f"its session is valid until {_time(session['expires_at'])}")


def _past(time: datetime) -> str:
    # Also what stands for NULL and for times before the year 1.
    if time <= datetime.fromtimestamp(0, UTC):
        return "NULL or before 1970"
    return f"{_time(time)}, {_ago(datetime.now(UTC) - time)} ago"


def _time(time: datetime) -> str:
    # strftime does not pad years below 1000.
    return f"{time.astimezone(UTC).replace(tzinfo=None).isoformat(' ', 'seconds')} UTC"


def _ago(duration: timedelta) -> str:
    seconds = max(int(duration.total_seconds()), 0)
    for unit, length in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
