"""Bans of the admin plugin. Better Auth checks them at sign-in; we check them on each request."""

import pytest

from auth_middleware import Auth
from dev.postgres import execute
from tests.better_auth.agreement.instance import BetterAuth, StartBetterAuth, request
from tests.support.outcomes import outcome, outcome_by_store

SPELLINGS = {"camel": "banExpires", "snake": "ban_expires"}


def reason(answer: object) -> str | None:
    return answer if isinstance(answer, str) else None


def ban(better_auth: BetterAuth, until: str, column: str = "banExpires") -> None:
    execute(better_auth.dsn, f'UPDATE "user" SET banned = true, "{column}" = {until}')


@pytest.mark.parametrize("column", SPELLINGS.values(), ids=SPELLINGS)
async def test_a_banned_user_is_refused_until_the_ban_expires(column: str, start_better_auth: StartBetterAuth) -> None:
    better_auth = start_better_auth("compact", is_admin=True)
    jar = better_auth.sign_up()
    assert better_auth.email_of(jar)
    if column != "banExpires":
        execute(better_auth.dsn, f'ALTER TABLE "user" RENAME COLUMN "banExpires" TO {column}')
    auth = Auth(better_auth.settings(freshness="always"))
    async with auth.lifespan(None):
        reasons: list[str | None] = [reason(await outcome(auth, request(jar)))]
        for until in ("NULL", "now() + interval '1 hour'", "now() - interval '1 second'"):
            ban(better_auth, until, column)
            reasons.append(reason(await outcome(auth, request(jar))))
    assert reasons == [None, "banned", "banned", None]


@pytest.mark.parametrize("strategy", ["compact", "jwt", "jwe"])
async def test_a_ban_in_the_cookie_is_checked_in_the_database(
    strategy: str, start_better_auth: StartBetterAuth
) -> None:
    better_auth = start_better_auth(strategy, is_admin=True)
    jar = better_auth.sign_up()
    auth = Auth(better_auth.settings())
    async with auth.lifespan(None):
        ban(better_auth, "now() + interval '1 hour'")
        # The cookie was set before the ban; the row has it.
        assert reason(await outcome(auth, request(jar))) is None
        assert reason(await outcome_by_store(auth, request(jar))) == "banned"
        banned = better_auth.refreshed(jar)
        assert better_auth.email_of(banned), "Better Auth's get-session ignores bans"
        assert reason(await outcome(auth, request(banned))) == "banned"
        execute(better_auth.dsn, 'UPDATE "user" SET banned = false')
        assert reason(await outcome(auth, request(banned))) is None
        ban(better_auth, "now() - interval '1 second'")
        lapsed = better_auth.refreshed(jar)
        execute(better_auth.dsn, "DELETE FROM session")
        assert reason(await outcome(auth, request(lapsed))) is None
    assert auth.counters["cookie_cache"] == 2
