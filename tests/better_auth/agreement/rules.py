"""Where we deliberately do not say what Better Auth says: each rule with its reason, matched narrowly."""

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from urllib.parse import unquote

from tests.better_auth.agreement.comparing import Answer, Case, differing
from tests.better_auth.agreement.people import EXPIRES_IN, UPDATE_AGE
from tests.better_auth.agreement.servers import DATA, TOKEN, cookies_of

# 1e-07: JSON.stringify never writes it, Python does, and JSON.parse takes it.
FOREIGN_NUMBER = re.compile(rb"\de[+-]0")


class Disagreement(NamedTuple):
    """Two answers to one question; `stored` is Better Auth's when it sees no session_data: what its store says."""

    case: Case
    ours: Answer
    theirs: Answer
    stored: Answer

    @property
    def we_say_what_the_store_says(self) -> bool:
        return not isinstance(self.stored, str) and not differing(self.ours, self.stored)

    @property
    def fields(self) -> set[str]:
        return differing(self.ours, self.theirs)

    def data(self) -> Iterator[tuple[str, str]]:
        """The session_data cookies: what follows in their names, and their values."""
        for name, value in cookies_of(self.case.headers):
            if name.startswith(DATA):
                yield name.removeprefix(DATA), unquote(value.strip('"'), "latin-1")


class Rule(NamedTuple):
    name: str
    why: str
    holds: Callable[[Disagreement], bool]


def _failed(found: Disagreement) -> bool:
    return found.theirs == "status 500" and found.we_say_what_the_store_says


def _refreshed(found: Disagreement) -> bool:
    if found.fields != {"session.expiresAt", "session.updatedAt"}:
        return False
    (our_end, their_end), their_begin = _times(found, "session.expiresAt"), _times(found, "session.updatedAt")[1]
    is_due = our_end - timedelta(seconds=EXPIRES_IN - UPDATE_AGE) <= their_begin
    # They read their clock twice.
    return is_due and abs(their_end - their_begin - timedelta(seconds=EXPIRES_IN)) < timedelta(seconds=1)


def _signature_bits(found: Disagreement) -> bool:
    tokens = [unquote(value.strip('"')) for name, value in cookies_of(found.case.headers) if name == TOKEN]
    signature = tokens[0].rpartition(".")[2] if tokens else ""
    try:
        is_canonical = base64.b64encode(base64.b64decode(signature, validate=True)).decode() == signature
    except binascii.Error:
        return False
    return found.ours is None and isinstance(found.theirs, Mapping) and not is_canonical


def _not_as_written(found: Disagreement) -> bool:
    whole = [value for rest, value in found.data() if not rest and value]
    chunks = [value for rest, value in found.data() if rest]
    is_written = _is_canonical(whole[0] if whole else "".join(chunks))
    is_from_cache = isinstance(found.theirs, Mapping) and not found.case.asks_store
    return is_from_cache and found.we_say_what_the_store_says and not is_written


def _is_canonical(data: str) -> bool:
    for part in data.split("."):
        try:
            decoded = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
        except (binascii.Error, ValueError):
            return False
        if base64.urlsafe_b64encode(decoded).decode().rstrip("=") != part:
            return False
        # The compact form has its signature within, over the text of JSON.stringify.
        if part == data:
            if FOREIGN_NUMBER.search(decoded):
                return False
            try:
                return _is_canonical(json.loads(decoded)["signature"].removesuffix("."))
            except (ValueError, TypeError, KeyError, AttributeError):
                return True
    return True


def _text_like_a_time(found: Disagreement) -> bool:
    if isinstance(found.ours, Mapping) and isinstance(found.theirs, Mapping):
        return found.fields == {"user.nickname"} and len(set(_times(found, "user.nickname"))) == 1
    # In the compact form that breaks the signature too.
    is_ours = isinstance(found.ours, Mapping) and _is_time(found.ours.get("user.nickname"))
    return is_ours and found.theirs is None and found.case.strategy == "compact"


def _another_session(found: Disagreement) -> bool:
    sent = (unquote(value.strip('"')) for name, value in cookies_of(found.case.headers) if name == TOKEN)
    token = next(sent, "")
    is_another = isinstance(found.theirs, Mapping) and not token.startswith(found.theirs["session.token"])
    return _before(found, 1, 7) and is_another and found.we_say_what_the_store_says


def _chunk_names(found: Disagreement) -> bool:
    rests = [rest for rest, _ in found.data() if rest]
    is_odd = any(not rest[1:].isdecimal() or str(int(rest[1:])) != rest[1:] for rest in rests)
    return _before(found, 1, 7) and is_odd and _one_of_us_believes_no_data(found)


def _chunk_values(found: Disagreement) -> bool:
    raw = [value for name, value in cookies_of(found.case.headers) if name.startswith(f"{DATA}.")]
    has_odd = any(not value.isascii() or any(sign in value for sign in '%"\\') for value in raw)
    return _before(found, 1, 7) and has_odd and _one_of_us_believes_no_data(found)


def _one_of_us_believes_no_data(found: Disagreement) -> bool:
    they_do_not = found.theirs in (None, "status 500") or not differing(found.theirs, found.stored)
    return found.we_say_what_the_store_says or they_do_not


def _address(found: Disagreement) -> bool:
    if not isinstance(found.ours, Mapping) or not isinstance(found.theirs, Mapping):
        return False
    is_lowered = found.ours.get("user.email") == str(found.theirs.get("user.email")).lower()
    return _before(found, 1, 7) and found.fields == {"user.email"} and is_lowered


def _gave_up(found: Disagreement) -> bool:
    return _before(found, 1, 6) and found.theirs is None and found.we_say_what_the_store_says


def _before(found: Disagreement, *version: int) -> bool:
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
        "get-session moves the times of a row that is due; we only read, and say what stands there",
        _refreshed,
    ),
    Rule("failed", "Better Auth answers 500 to data that is no base64; we say what the store says", _failed),
    Rule("gave up", "1.4 answered nobody, or 500, where the data was bad, whatever its store said", _gave_up),
    Rule(
        "signature bits",
        "Better Auth looks at no unused bits of a signature's last letter, and never sets any; we refuse them",
        _signature_bits,
    ),
    Rule(
        "not as written",
        "Better Auth takes base64 and numbers that nobody writes so (padding, spaces, 1e-07); we ask the store",
        _not_as_written,
    ),
    Rule(
        "a text like a time",
        "Better Auth's cache takes an own text such as 2024-01-02T03:04:05Z for a date; we say what was signed",
        _text_like_a_time,
    ),
    Rule(
        "another session's data",
        "before 1.7 the data beside a token could be another session's; we ask the store",
        _another_session,
    ),
    Rule("chunk names", "before 1.7 chunks were named by whatever parseInt takes; we go by 1.7", _chunk_names),
    Rule(
        "chunk values",
        "before 1.7 chunks could hold what no cookie may, or were not decoded; we go by 1.7",
        _chunk_values,
    ),
    Rule("the address", "from 1.7 the cache says an address in lower case, and so do we", _address),
)


def rule_for(found: Disagreement) -> Rule | None:
    return next((rule for rule in RULES if rule.holds(found)), None)
