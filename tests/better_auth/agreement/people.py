"""Generated users, their sessions at all ages, and the cookies that Better Auth gave them."""

import random
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from dev.postgres import execute
from tests.better_auth.agreement.servers import TOKEN, BetterAuths, Strategy, cookie_header

PASSWORD = secrets.token_urlsafe(16)
DAY = 24 * 3600
# Better Auth's own defaults.
EXPIRES_IN, UPDATE_AGE = 7 * DAY, DAY
CACHE_SECONDS = 600

USER_FIELDS: dict[str, dict[str, object]] = {
    "nickname": {"type": "string", "required": False},
    "score": {"type": "number", "required": False},
    "isActive": {"type": "boolean", "required": False},
    "joinedAt": {"type": "date", "required": False},
    "tags": {"type": "string[]", "required": False},
    "bio": {"type": "string", "required": False},
}
SESSION_FIELDS: dict[str, dict[str, object]] = {"deviceName": {"type": "string", "required": False, "input": False}}
# Better Auth makes it an integer; applications that want fractions alter it.
ALTER = 'ALTER TABLE "user" ALTER COLUMN score TYPE double precision'

# Seconds since the sign-in; each is far from a border, so that no clock has to stand still.
AGES = {
    "signed in just now": 0,
    "cache half over": CACHE_SECONDS // 2,
    "cache nearly over": CACHE_SECONDS - 40,
    "cache just over": CACHE_SECONDS + 3,
    "cache over": CACHE_SECONDS + 60,
    "due for refresh": UPDATE_AGE + 60,
    "row nearly expired": EXPIRES_IN - 60,
    "row expired": EXPIRES_IN + 60,
    "signed in in the future": -60,
}
FORGOTTEN_AGES = {"not remembered": 0, "not remembered, 50 s": 20, "not remembered, 90 s": 90, "gone": DAY + 60}

# label, what happens to the rows after the sign-in, whether the snapshot is taken again then
STATES: tuple[tuple[str, str | None, bool], ...] = (
    ("plain", None, False),
    ("large", None, False),
    ("renamed", """UPDATE "user" SET name = 'Another Name', "updatedAt" = now() WHERE {user}""", False),
    ("revoked", "DELETE FROM session WHERE {session}", False),
    ("deleted", """DELETE FROM "user" WHERE {user}""", False),
    ("ended", """UPDATE session SET "expiresAt" = now() - interval '1 minute' WHERE {session}""", False),
    ("own session field", """UPDATE session SET "deviceName" = 'Gerät "1"' WHERE {session}""", True),
    ("address unknown", """UPDATE session SET "ipAddress" = NULL, "userAgent" = NULL WHERE {session}""", True),
    ("address in capitals", """UPDATE "user" SET email = 'ÄÖ.' || upper(email) WHERE {user}""", True),
    ("name like a date", """UPDATE "user" SET name = '2024-01-02T03:04:05.678Z' WHERE {user}""", True),
    ("nickname like a date", """UPDATE "user" SET nickname = '2024-01-02T03:04:05Z' WHERE {user}""", True),
    ("nickname like a date, revoked", "DELETE FROM session WHERE {session}", False),
    (
        "everything null",
        """UPDATE "user" SET image = NULL, nickname = NULL, score = NULL, "isActive" = NULL,
     "joinedAt" = NULL, tags = NULL, bio = NULL WHERE {user}""",
        True,
    ),
)
GIVEN: dict[str, dict[str, object]] = {
    "large": {"bio": "Ω" * 4096},
    # JavaScript writes 1e-7, others 1e-07.
    "revoked": {"score": 1e-7},
    "nickname like a date, revoked": {"nickname": "2024-01-02T03:04:05Z"},
}

ALPHABETS = (
    "abc XYZ",
    "äöüßÇñ",
    "Жизнь Ω",
    "漢字かな",
    "שלום",
    "🙂🏳️‍🌈👩‍👩‍👧",
    "\"\\/<>&%+=;,'`",
    "\u2028\u2029\u00a0\ufeff\u0001\u007f",
    "ﬁİıſ",
)


class Person(NamedTuple):
    """One session of somebody: `jar` is what the browser sends, name by name."""

    label: str
    email: str
    jar: dict[str, str]
    age: int

    @property
    def token(self) -> str:
        return self.jar[TOKEN].split(".", 1)[0]


def word(chance: random.Random, longest: int = 24) -> str:
    alphabet = chance.choice(ALPHABETS)
    return "".join(chance.choice(alphabet) for _ in range(chance.randint(1, longest))).strip() or "x"


def profile(chance: random.Random) -> dict[str, Any]:
    """What somebody signs up with: any field may be null or missing."""
    maybe: dict[str, Any] = {
        "image": f"https://example.com/{word(chance)}.png",
        "nickname": word(chance),
        "score": chance.choice([0, -1, 7, 41.5, 0.1, 1e21, 1e-7, 2**53 - 1, -0.5]),
        "isActive": chance.random() < 0.5,
        "joinedAt": datetime.fromtimestamp(chance.randint(-(10**9), 4 * 10**9), UTC)
        .replace(microsecond=chance.randrange(1000) * 1000)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z"),
        "tags": [word(chance) for _ in range(chance.randint(0, 4))],
        "bio": word(chance, 200),
    }
    chosen = {field: value for field, value in maybe.items() if chance.random() < 0.7}
    return {"name": word(chance), **chosen}


class Town:
    """Signs people up and in at the Better Auth of one strategy."""

    def __init__(self, servers: BetterAuths, dsn: str, strategy: Strategy, chance: random.Random) -> None:
        self.servers = servers
        self._dsn = dsn
        self.strategy: Strategy = strategy
        self._chance = chance
        self._number = 0

    def newcomer(self, label: str, **given: object) -> Person:
        """Somebody who signs up, with a generated profile."""
        self._number += 1
        email = f"{self.strategy}{self._number}@example.com"
        body = {**profile(self._chance), "email": email, "password": PASSWORD, **given}
        self.servers.post(self.strategy, "/sign-up/email", body)
        return self.sign_in(label, email)

    def sign_in(self, label: str, email: str, *, age: int = 0, remember: bool = True) -> Person:
        """A session that began `age` seconds ago by Better Auth's clock."""
        self.servers.set_clock(-age)
        body = {"email": email, "password": PASSWORD, "rememberMe": remember}
        jar = self.servers.post(self.strategy, "/sign-in/email", body)
        self.servers.set_clock(0)
        return Person(label, email, jar, age)

    def of_all_ages(self) -> Iterator[Person]:
        """One user's sessions, from the last minute to the last week."""
        who = self.newcomer("ages")
        for label, age in AGES.items():
            yield self.sign_in(label, who.email, age=age)
        for label, age in FORGOTTEN_AGES.items():
            yield self.sign_in(label, who.email, age=age, remember=False)

    def in_all_states(self) -> Iterator[tuple[Person, Person]]:
        """People whose rows are, or are no longer, what their cookies say; each with an older session."""
        for label, change, is_renewed in STATES:
            who = self.newcomer(label, **GIVEN.get(label, {}))
            earlier = self.sign_in(label, who.email, age=30)
            if change:
                self._change(change, who)
            yield (self._renewed(who) if is_renewed else who), earlier

    def _change(self, change: str, who: Person) -> None:
        """Behind Better Auth's back."""
        execute(self._dsn, change.format(user=f"email = '{who.email}'", session=f"token = '{who.token}'"))

    def _renewed(self, who: Person) -> Person:
        """The same session with a snapshot of what the rows say now."""
        jar = self.servers.renewed(self.strategy, cookie_header(*who.jar.items()))
        return who._replace(jar={**who.jar, **jar})
