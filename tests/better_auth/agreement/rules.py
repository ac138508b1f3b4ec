"""The intended differences from Better Auth. Each rule has a reason and matches as narrowly as possible."""

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from urllib.parse import unquote

from dev.better_auth.strategies import DATA, TOKEN, cookies_of
from tests.better_auth.agreement.results import Case, Result, differences
from tests.better_auth.agreement.users import EXPIRES_IN, UPDATE_AGE

# Numbers such as 1e-07, which JSON.stringify never writes but JSON.parse accepts.
FOREIGN_NUMBER = re.compile(rb"\de[+-]0")


class Disagreement(NamedTuple):
    """Two results for one request. `stored` is Better Auth's result without session_data, from the database."""

    case: Case
    ours: Result
    theirs: Result
    stored: Result

    @property
    def ours_matches_store(self) -> bool:
        return not isinstance(self.stored, str) and not differences(self.ours, self.stored)

    @property
    def fields(self) -> set[str]:
        return differences(self.ours, self.theirs)

    def data(self) -> Iterator[tuple[str, str]]:
        """The session_data cookies: the suffixes of their names, and their values."""
        for name, value in cookies_of(self.case.headers):
            if name.startswith(DATA):
                yield name.removeprefix(DATA), unquote(value.strip('"'), "latin-1")


class Rule(NamedTuple):
    name: str
    why: str
    holds: Callable[[Disagreement], bool]


def _failed(found: Disagreement) -> bool:
    return found.theirs == "status 500" and found.ours_matches_store


def _refreshed(found: Disagreement) -> bool:
    if found.fields != {"session.expiresAt", "session.updatedAt"}:
        return False
    (our_end, their_end), their_begin = _times(found, "session.expiresAt"), _times(found, "session.updatedAt")[1]
    is_due = our_end - timedelta(seconds=EXPIRES_IN - UPDATE_AGE) <= their_begin
    # Better Auth reads its clock twice.
    return is_due and abs(their_end - their_begin - timedelta(seconds=EXPIRES_IN)) < timedelta(seconds=1)


def _signature_bits(found: Disagreement) -> bool:
    tokens = [unquote(value.strip('"')) for name, value in cookies_of(found.case.headers) if name == TOKEN]
    signature = tokens[0].rpartition(".")[2] if tokens else ""
    try:
        is_canonical = base64.b64encode(base64.b64decode(signature, validate=True)).decode() == signature
    except binascii.Error:
        return False
    return found.ours is None and isinstance(found.theirs, Mapping) and not is_canonical


def _not_canonical(found: Disagreement) -> bool:
    whole = [value for rest, value in found.data() if not rest and value]
    chunks = [value for rest, value in found.data() if rest]
    is_written = _is_canonical(whole[0] if whole else "".join(chunks))
    is_from_cache = isinstance(found.theirs, Mapping) and not found.case.skips_cache
    return is_from_cache and found.ours_matches_store and not is_written


def _is_canonical(data: str) -> bool:
    for part in data.split("."):
        try:
            decoded = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
        except (binascii.Error, ValueError):
            return False
        if base64.urlsafe_b64encode(decoded).decode().rstrip("=") != part:
            return False
        # The compact form contains its signature, which covers the output of JSON.stringify.
        if part == data:
            if FOREIGN_NUMBER.search(decoded):
                return False
            try:
                return _is_canonical(json.loads(decoded)["signature"].removesuffix("."))
            except (ValueError, TypeError, KeyError, AttributeError):
                return True
    return True


def _text_like_a_date(found: Disagreement) -> bool:
    if isinstance(found.ours, Mapping) and isinstance(found.theirs, Mapping):
        return found.fields == {"user.nickname"} and len(set(_times(found, "user.nickname"))) == 1
    # In the compact form, this also invalidates the signature.
    is_ours = isinstance(found.ours, Mapping) and _is_time(found.ours.get("user.nickname"))
    return is_ours and found.theirs is None and found.case.strategy == "compact"


def _another_session(found: Disagreement) -> bool:
    sent = (unquote(value.strip('"')) for name, value in cookies_of(found.case.headers) if name == TOKEN)
    token = next(sent, "")
    is_another = isinstance(found.theirs, Mapping) and not token.startswith(found.theirs["session.token"])
    return _is_before(found, 1, 7) and is_another and found.ours_matches_store


def _chunk_names(found: Disagreement) -> bool:
    rests = [rest for rest, _ in found.data() if rest]
    is_odd = any(not rest[1:].isdecimal() or str(int(rest[1:])) != rest[1:] for rest in rests)
    return _is_before(found, 1, 7) and is_odd and _one_side_ignores_the_data(found)


def _chunk_values(found: Disagreement) -> bool:
    raw = [value for name, value in cookies_of(found.case.headers) if name.startswith(f"{DATA}.")]
    has_odd = any(not value.isascii() or any(sign in value for sign in '%"\\') for value in raw)
    return _is_before(found, 1, 7) and has_odd and _one_side_ignores_the_data(found)


def _one_side_ignores_the_data(found: Disagreement) -> bool:
    they_do_not = found.theirs in (None, "status 500") or not differences(found.theirs, found.stored)
    return found.ours_matches_store or they_do_not


def _email_in_lower_case(found: Disagreement) -> bool:
    if not isinstance(found.ours, Mapping) or not isinstance(found.theirs, Mapping):
        return False
    is_lowered = found.ours.get("user.email") == str(found.theirs.get("user.email")).lower()
    return _is_before(found, 1, 7) and found.fields == {"user.email"} and is_lowered


def _gave_up(found: Disagreement) -> bool:
    return _is_before(found, 1, 6) and found.theirs is None and found.ours_matches_store


def _is_before(found: Disagreement, *version: int) -> bool:
    return found.case.version < version


def _times(found: Disagreement, field: str) -> tuple[datetime, datetime]:
    assert isinstance(found.ours, Mapping)
    assert isinstance(found.theirs, Mapping)
    return datetime.fromisoformat(found.ours[field]), datetime.fromisoformat(found.theirs[field])


def _is_time(text: object) -> bool:
    try:
        return isinstance(text, str) and bool(datetime.fromisoformat(text))
    except ValueError:
        return False


RULES: Sequence[Rule] = (
    Rule(
        "refreshed",
        "get-session updates the times of a row that is due; we only read, and return the current ones",
        _refreshed,
    ),
    Rule("failed", "Better Auth responds with 500 to invalid base64; we return what the database has", _failed),
    Rule("gave up", "1.4 returned no session, or 500, for invalid data, whatever the database had", _gave_up),
    Rule(
        "signature bits",
        "Better Auth ignores the unused bits of a signature's last character and never sets them; we refuse them",
        _signature_bits,
    ),
    Rule(
        "not canonical",
        "Better Auth accepts base64 and numbers that it never writes (padding, spaces, 1e-07); we query the database",
        _not_canonical,
    ),
    Rule(
        "text that looks like a date",
        "Better Auth's cache parses a text field such as 2024-01-02T03:04:05Z as a date; we return the signed text",
        _text_like_a_date,
    ),
    Rule(
        "another session's data",
        "before 1.7, the data could belong to another session than the token; we query the database",
        _another_session,
    ),
    Rule("chunk names", "before 1.7, a chunk's number was anything that parseInt accepts; we follow 1.7", _chunk_names),
    Rule(
        "chunk values",
        "before 1.7, chunks could contain characters that cookies may not, or were not decoded; we follow 1.7",
        _chunk_values,
    ),
    Rule("email in lower case", "since 1.7, the cache returns the email in lower case, as we do", _email_in_lower_case),
)


def rule_for(found: Disagreement) -> Rule | None:
    return next((rule for rule in RULES if rule.holds(found)), None)
