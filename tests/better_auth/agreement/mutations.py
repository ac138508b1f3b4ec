"""A few hundred modifications of a real Cookie header."""

import base64
import json
import random
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import quote, unquote

from dev.better_auth.strategies import DATA, DONT_REMEMBER, TOKEN, cookie_header
from tests.better_auth.agreement.users import UserSession

RANDOM_CUTS, RANDOM_FLIPS, RANDOM_SPLICES = 10, 24, 6


Pairs: TypeAlias = list[tuple[str, str]]
Named: TypeAlias = tuple[str, Pairs]


class Mutation(NamedTuple):
    """The Cookie headers of one request, and how they were modified."""

    name: str
    headers: tuple[bytes, ...]


def all_mutations(
    session: UserSession, stranger: UserSession, earlier: UserSession, rng: random.Random
) -> Iterator[Mutation]:
    """All mutations of one session's cookies. `earlier` is an older session of the same user."""
    for name, pairs in [
        *_whole(session, stranger, earlier),
        *_token(session, stranger),
        *_data(session, stranger, earlier),
        *_chunks(session, stranger),
        *_at_random(session, stranger, rng),
    ]:
        yield Mutation(name, (cookie_header(*pairs),))
    yield from _headers(list(session.jar.items()))


def some_mutations(
    session: UserSession, stranger: UserSession, earlier: UserSession, rng: random.Random
) -> Iterator[Mutation]:
    """The mutations that matter for large data."""
    yield from few_mutations(session, stranger, earlier, rng)
    for name, pairs in [*_chunks(session, stranger), *_at_random(session, stranger, rng)]:
        yield Mutation(name, (cookie_header(*pairs),))


def few_mutations(
    session: UserSession, stranger: UserSession, earlier: UserSession, _chance: random.Random
) -> Iterator[Mutation]:
    """The mutations that matter for unusual rows."""
    for name, pairs in _whole(session, stranger, earlier):
        yield Mutation(name, (cookie_header(*pairs),))


def _headers(pairs: Pairs) -> Iterator[Mutation]:
    whole = cookie_header(*pairs)
    yield Mutation("no space after the semicolon", (cookie_header(*pairs, separator=";"),))
    yield Mutation("much space", (b" \t " + cookie_header(*pairs, separator=" ;\t  ") + b"  ",))
    yield Mutation("empty parts", (b";; ;" + cookie_header(*pairs, separator=";;") + b";junk;=;",))
    yield Mutation("comma instead of semicolon", (cookie_header(*pairs, separator=", "),))
    yield Mutation("bytes beyond ASCII around", (b"\xa0caf\xe9=\xfc; " + whole + b"; \xff=\xfe",))
    yield Mutation("one header for each cookie", tuple(cookie_header(pair) for pair in pairs))
    yield Mutation("one header for each, reversed", tuple(cookie_header(pair) for pair in reversed(pairs)))


def basic_mutations(session: UserSession) -> Iterator[Mutation]:
    """The mutations that matter for sessions of every age."""
    token = (TOKEN, session.jar[TOKEN])
    yield Mutation("as it is", (cookie_header(*session.jar.items()),))
    yield Mutation("token alone", (cookie_header(token),))
    yield Mutation("token and data", (cookie_header(token, *_data_of(session.jar)),))
    yield Mutation("bad data", (cookie_header(*_rest(session.jar, DATA), (DATA, "bad")),))
    yield Mutation("bad token", (cookie_header(*_rest(session.jar, TOKEN), (TOKEN, "bad")),))


def _rest(jar: Mapping[str, str], *left_out: str) -> Pairs:
    return [(name, value) for name, value in jar.items() if name not in left_out]


def _data_of(jar: Mapping[str, str]) -> Pairs:
    return [(name, value) for name, value in jar.items() if name.startswith(DATA)]


def _whole(session: UserSession, stranger: UserSession, earlier: UserSession) -> Iterator[Named]:
    pairs, data = list(session.jar.items()), _data_of(session.jar)
    token = (TOKEN, session.jar[TOKEN])
    yield "as it is", pairs
    yield "reversed", pairs[::-1]
    yield "amid others", [("a", "1"), *pairs, ("better-auth", "x"), (f"{TOKEN}2", "y"), (f"{DATA}2", "z")]
    yield "token alone", [token]
    yield "data alone", data
    yield "nothing", [("theme", "dark")]
    yield "data of a stranger beside my token", [token, *_data_of(stranger.jar)]
    yield "data of my older session beside my token", [token, *_data_of(earlier.jar)]
    yield "my data beside a stranger's token", [(TOKEN, stranger.jar[TOKEN]), *data]
    yield "both of us, me first", [*pairs, *stranger.jar.items()]
    yield "both of us, me last", [*stranger.jar.items(), *pairs]
    yield "token doubled", [token, *pairs]
    yield "everything doubled", [*pairs, *pairs]
    yield "not remembered, forged", [*pairs, (DONT_REMEMBER, "true.x")]
    yield "names in capitals", [(name.upper(), value) for name, value in pairs]
    yield "names with __Secure-", [(f"__Secure-{name}", value) for name, value in pairs]
    yield "names with __Host-", [(f"__Host-{name}", value) for name, value in pairs]
    yield "names encoded", [(quote(name.replace(".", "%2E")), value) for name, value in pairs]


def _token(session: UserSession, stranger: UserSession) -> Iterator[Named]:
    rest, value = _rest(session.jar, TOKEN), session.jar[TOKEN]
    plain = unquote(value)
    token, signature = plain.rsplit(".", 1)
    other = unquote(stranger.jar[TOKEN]).rsplit(".", 1)[1]
    for name, changed in {
        "token decoded": plain,
        "token encoded twice": quote(value, safe=""),
        "token wholly encoded": "".join(f"%{ord(c):02x}" for c in plain),
        "token with small hex digits": re.sub("%..", lambda escape: escape[0].lower(), value),
        "token quoted": f'"{value}"',
        "token with an opening quote": f'"{value}',
        "token with a closing quote": f'{value}"',
        "token with a broken escape": f"{value}%",
        "token with an escape of bad UTF-8": f"{value}%ff",
        "token without its signature": token,
        "token with an empty signature": f"{token}.",
        "signature alone": f".{signature}",
        "signature of a stranger": quote(f"{token}.{other}", safe=""),
        "signature without padding": quote(plain.rstrip("="), safe=""),
        "signature in base64url": quote(f"{token}.{signature.replace('+', '-').replace('/', '_')}", safe=""),
        "signature with an unused bit set": quote(f"{token}.{signature[:-2]}{chr(ord(signature[-2]) + 1)}=", safe=""),
        "signature twice": quote(f"{plain}.{signature}", safe=""),
        "token in capitals": quote(f"{token.upper()}.{signature}", safe=""),
        "token with a space": quote(f" {plain}", safe=""),
        "token with NUL": quote(f"{token}\0.{signature}", safe=""),
        "token empty": "",
        "token true": "true",
        "token with an equals sign before": f"={value}",
    }.items():
        yield name, [(TOKEN, changed), *rest]
        if changed != value:
            yield f"{name}, then the good one", [(TOKEN, changed), (TOKEN, value), *rest]
    yield "the good token, then a bad one", [(TOKEN, value), (TOKEN, "bad"), *rest]


def _data(session: UserSession, stranger: UserSession, earlier: UserSession) -> Iterator[Named]:
    joined = "".join(value for _, value in _data_of(session.jar))
    theirs = "".join(value for _, value in _data_of(stranger.jar))
    older = "".join(value for _, value in _data_of(earlier.jar))
    rest = [pair for pair in session.jar.items() if not pair[0].startswith(DATA)]
    parts, their_parts = joined.split("."), theirs.split(".")
    for name, changed in {
        "data in one piece": joined,
        "data wholly encoded": "".join(f"%{ord(c):02X}" for c in joined),
        "data encoded twice": "".join(f"%25{ord(c):02X}" for c in joined),
        "data quoted": f'"{joined}"',
        "data with an opening quote": f'"{joined}',
        "data padded": joined + "=" * (-len(joined) % 4),
        "data in standard base64": joined.replace("-", "+").replace("_", "/"),
        "data with a letter more": f"{joined}A",
        "data with a sign outside base64": f"{joined[:40]}!{joined[41:]}",
        "data with a byte beyond ASCII": f"{joined}\xe9",
        "data with a broken escape": f"{joined}%",
        "data with spaces around": f"  {joined}  ",
        "data with a space inside": f"{joined[:30]} {joined[30:]}",
        "data empty": "",
        "data null": "null",
        "data an object": quote("{}"),
        "data a word": "garbage",
        "data a dot": ".",
        "data doubled in one": joined + joined,
        "data joined by a comma": f"{joined},{theirs}",
        "header of a stranger": ".".join([*their_parts[:1], *parts[1:]]),
        "end of a stranger": ".".join([*parts[:-1], *their_parts[-1:]]),
        "middle of a stranger": ".".join([parts[0], *their_parts[1:-1], parts[-1]]),
        "without the last part": ".".join(parts[:-1]),
        "with an empty last part": ".".join([*parts[:-1], ""]),
        "with one part more": ".".join([*parts, ""]),
    }.items():
        yield name, [*rest, (DATA, changed)]
    for name, changed in _rewritten(joined).items():
        yield name, [*rest, (DATA, changed)]
    yield "bad data, then good", [*rest, (DATA, "bad"), (DATA, joined)]
    yield "good data, then bad", [*rest, (DATA, joined), (DATA, "bad")]
    yield "empty data, then good", [*rest, (DATA, ""), (DATA, joined)]
    yield "stranger's data, then mine", [*rest, (DATA, theirs), (DATA, joined)]
    yield "older data, then mine", [*rest, (DATA, older), (DATA, joined)]


def _rewritten(joined: str) -> dict[str, str]:
    """Changed contents, with the old signature."""
    head, _, rest = joined.partition(".")
    content, _, tail = rest.partition(".")
    is_jwt = joined.count(".") == 2
    try:
        decoded: dict[str, Any] = json.loads(_decoded(content if is_jwt else joined))
    except ValueError:  # encrypted
        return {}

    def encoded(value: object, separators: tuple[str, str] = (",", ":")) -> str:
        text = json.dumps(value, ensure_ascii=False, separators=separators).encode()
        written = base64.urlsafe_b64encode(text).decode().rstrip("=")
        return f"{head}.{written}.{tail}" if is_jwt else written

    result = {"data encoded again": encoded(decoded), "data encoded with spaces": encoded(decoded, (", ", ": "))}
    for name, path, value in [
        ("another address", ("user", "email"), "root@example.com"),
        ("another user's id", ("user", "id"), "1"),
        ("a later end", ("session", "expiresAt"), "2999-01-01T00:00:00.000Z"),
        ("a field more", ("user", "isAdmin"), True),
        ("another version", ("version",), "2"),
    ]:
        copy = json.loads(json.dumps(decoded))
        inner = copy if is_jwt else copy["session"]
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] = value
        result[f"data with {name}"] = encoded(copy)
    return result


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _chunks(session: UserSession, stranger: UserSession) -> Iterator[Named]:
    data = _data_of(session.jar)
    rest = [pair for pair in session.jar.items() if not pair[0].startswith(DATA)]
    joined = "".join(value for _, value in data)
    third = len(joined) // 3 + 1
    one, two, three = joined[:third], joined[third : 2 * third], joined[2 * third :]
    theirs = "".join(value for _, value in _data_of(stranger.jar))
    for name, chunks in {
        "in order": [("0", one), ("1", two), ("2", three)],
        "out of order": [("2", three), ("0", one), ("1", two)],
        "from 8 to 10": [("10", three), ("8", one), ("9", two)],
        "with a gap": [("0", one), ("5", two), ("7", three)],
        "the middle missing": [("0", one), ("2", three)],
        "the last missing": [("0", one), ("1", two)],
        "swapped": [("0", two), ("1", one), ("2", three)],
        "middle of a stranger": [("0", one), ("1", theirs[third : 2 * third]), ("2", three)],
        "one doubled": [("0", one), ("1", two), ("1", "bad"), ("2", three)],
        "one doubled, good last": [("0", one), ("1", "bad"), ("1", two), ("2", three)],
        "with leading noughts": [("00", one), ("01", two), ("02", three)],
        "with signs": [("+0", one), ("1.0", two), ("2", three)],
        "with a name that is no number": [("0", one), ("1", two), ("2", three), ("x", "junk"), ("", "junk")],
        "beyond a hundred": [("0", one), ("1", two), ("2", three), ("100", "junk")],
        "at 98 and up": [("98", one), ("99", two), ("100", three)],
        "quoted": [("0", f'"{one}"'), ("1", two), ("2", three)],
        "half quoted": [("0", f'"{one}'), ("1", two), ("2", three)],
        "encoded": [("0", "".join(f"%{ord(c):02X}" for c in one)), ("1", two), ("2", three)],
        "one empty": [("0", one), ("1", ""), ("2", two), ("3", three)],
        "one with a sign no cookie has": [("0", one), ("1", two), ("2", three), ("3", "\\")],
        "one with a byte beyond ASCII": [("0", one), ("1", two), ("2", three), ("3", "\xe9")],
        "of one": [("0", joined)],
    }.items():
        yield f"chunks {name}", [*rest, *((f"{DATA}.{index}", value) for index, value in chunks)]
    bad = [(f"{DATA}.0", theirs)]
    yield "chunks of a stranger after mine", [*rest, (DATA, joined), *bad]
    yield "chunks of a stranger before mine", [*bad, *rest, (DATA, joined)]
    yield "chunks beside an empty whole", [*rest, (DATA, ""), (f"{DATA}.0", one), (f"{DATA}.1", two + three)]
    yield "chunks beside a bad whole", [*rest, (DATA, "bad"), (f"{DATA}.0", one), (f"{DATA}.1", two + three)]


SIGNS = 'ABCabc012-_.+/=%~!*() ",\\\xe9'


def _at_random(session: UserSession, stranger: UserSession, rng: random.Random) -> Iterator[Named]:
    names = list(session.jar)
    for _ in range(RANDOM_CUTS):
        name, jar = rng.choice(names), dict(session.jar)
        begin = rng.randrange(len(jar[name]))
        end = rng.choice([len(jar[name]), rng.randrange(begin, len(jar[name]))])
        jar[name] = jar[name][:begin] + jar[name][end:]
        yield f"cut {name}[{begin}:{end}]", list(jar.items())
    for _ in range(RANDOM_FLIPS):
        name, jar = rng.choice(names), dict(session.jar)
        at, sign = rng.randrange(len(jar[name])), rng.choice(SIGNS)
        kept = rng.choice([at, at + 1])
        jar[name] = jar[name][:at] + sign + jar[name][kept:]
        yield f"{name}[{at}:{kept}] = {sign!r}", list(jar.items())
    for _ in range(RANDOM_SPLICES):
        jar, name = dict(session.jar), rng.choice([name for name in names if name in stranger.jar])
        at = rng.randrange(min(len(jar[name]), len(stranger.jar[name])))
        jar[name] = jar[name][:at] + stranger.jar[name][at:]
        yield f"{name} of a stranger from {at}", list(jar.items())
