"""Generated users, their sessions of every age and state, and the cookies that Better Auth set."""

import random
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from dev.better_auth.strategies import TOKEN, Strategy, StrategyServers, cookie_header
from dev.postgres import execute

PASSWORD = secrets.token_urlsafe(16)
DAY = 24 * 3600
# Better Auth's defaults.
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
# Better Auth creates an integer column. Applications that need fractions alter it.
ALTER = 'ALTER TABLE "user" ALTER COLUMN score TYPE double precision'

# Seconds since the sign-in. Each is far from a limit, so that the tests do not depend on exact timing.
AGES = {
    "signed in just now": 0,
    "half of the cache's lifetime": CACHE_SECONDS // 2,
    "cache about to expire": CACHE_SECONDS - 40,
    "cache just expired": CACHE_SECONDS + 3,
    "cache expired": CACHE_SECONDS + 60,
    "due for refresh": UPDATE_AGE + 60,
    "row about to expire": EXPIRES_IN - 60,
    "row expired": EXPIRES_IN + 60,
    "signed in in the future": -60,
}
UNREMEMBERED_AGES = {"not remembered": 0, "not remembered, 20 s": 20, "not remembered, 90 s": 90, "expired": DAY + 60}

# label, what happens to the rows after the sign-in, whether session_data is refreshed afterwards
STATES: tuple[tuple[str, str | None, bool], ...] = (
    ("plain", None, False),
    ("large", None, False),
    ("renamed", """UPDATE "user" SET name = 'Another Name', "updatedAt" = now() WHERE {user}""", False),
    ("revoked", "DELETE FROM session WHERE {session}", False),
    ("deleted", """DELETE FROM "user" WHERE {user}""", False),
    ("expired", """UPDATE session SET "expiresAt" = now() - interval '1 minute' WHERE {session}""", False),
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
FIELDS: dict[str, dict[str, object]] = {
    "large": {"bio": "Ω" * 4096},
    # JavaScript writes 1e-7, Python writes 1e-07.
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


class UserSession(NamedTuple):
    """One session of a user. `jar` has the browser's cookies by name."""

    label: str
    email: str
    jar: dict[str, str]
    age: int

    @property
    def token(self) -> str:
        return self.jar[TOKEN].split(".", 1)[0]


def word(rng: random.Random, longest: int = 24) -> str:
    alphabet = rng.choice(ALPHABETS)
    return "".join(rng.choice(alphabet) for _ in range(rng.randint(1, longest))).strip() or "x"


def profile(rng: random.Random) -> dict[str, Any]:
    """Generated fields for a sign-up. Any field may be missing."""
    candidates: dict[str, Any] = {
        "image": f"https://example.com/{word(rng)}.png",
        "nickname": word(rng),
        "score": rng.choice([0, -1, 7, 41.5, 0.1, 1e21, 1e-7, 2**53 - 1, -0.5]),
        "isActive": rng.random() < 0.5,
        "joinedAt": datetime.fromtimestamp(rng.randint(-(10**9), 4 * 10**9), UTC)
        .replace(microsecond=rng.randrange(1000) * 1000)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z"),
        "tags": [word(rng) for _ in range(rng.randint(0, 4))],
        "bio": word(rng, 200),
    }
    chosen = {field: value for field, value in candidates.items() if rng.random() < 0.7}
    return {"name": word(rng), **chosen}


class Accounts:
    """Signs users up and in at Better Auth with one strategy."""

    def __init__(self, servers: StrategyServers, dsn: str, strategy: Strategy, rng: random.Random) -> None:
        self.servers = servers
        self._dsn = dsn
        self.strategy: Strategy = strategy
        self._chance = rng
        self._number = 0

    def sign_up(self, label: str, **given: object) -> UserSession:
        """Signs up a user with generated fields, and signs in."""
        self._number += 1
        email = f"{self.strategy}{self._number}@example.com"
        body = {**profile(self._chance), "email": email, "password": PASSWORD, **given}
        self.servers.post(self.strategy, "/sign-up/email", body)
        return self.sign_in(label, email)

    def sign_in(self, label: str, email: str, *, age: int = 0, remember: bool = True) -> UserSession:
        """Creates a session that is `age` seconds old by Better Auth's clock."""
        self.servers.set_clock(-age)
        body = {"email": email, "password": PASSWORD, "rememberMe": remember}
        jar = self.servers.post(self.strategy, "/sign-in/email", body)
        self.servers.set_clock(0)
        return UserSession(label, email, jar, age)

    def of_every_age(self) -> Iterator[UserSession]:
        """Sessions of one user, from new ones to expired ones."""
        session = self.sign_up("ages")
        for label, age in AGES.items():
            yield self.sign_in(label, session.email, age=age)
        for label, age in UNREMEMBERED_AGES.items():
            yield self.sign_in(label, session.email, age=age, remember=False)

    def in_every_state(self) -> Iterator[tuple[UserSession, UserSession]]:
        """Sessions whose rows may have changed since the cookies were set, each with an older session of the user."""
        for label, change, is_refreshed in STATES:
            session = self.sign_up(label, **FIELDS.get(label, {}))
            earlier = self.sign_in(label, session.email, age=30)
            if change:
                self._change(change, session)
            yield (self._refreshed(session) if is_refreshed else session), earlier

    def _change(self, change: str, session: UserSession) -> None:
        """Changes the rows directly in the database."""
        execute(self._dsn, change.format(user=f"email = '{session.email}'", session=f"token = '{session.token}'"))

    def _refreshed(self, session: UserSession) -> UserSession:
        """The same session with session_data from the current rows."""
        jar = self.servers.refreshed_cookies(self.strategy, cookie_header(*session.jar.items()))
        return session._replace(jar={**session.jar, **jar})
