"""The admin plugin's bans. Better Auth looks at them when somebody signs in; we look at each request."""

import pytest

from auth_middleware import Auth
from dev.postgres import execute
from tests.better_auth.agreement.neighbours import MeetNeighbour, Neighbour, request
from tests.support.outcomes import outcome, outcome_by_store

SPELLINGS = {"camel": "banExpires", "snake": "ban_expires"}


def reason(answer: object) -> str | None:
    return answer if isinstance(answer, str) else None


def ban(neighbour: Neighbour, until: str, column: str = "banExpires") -> None:
    execute(neighbour.dsn, f'UPDATE "user" SET banned = true, "{column}" = {until}')


@pytest.mark.parametrize("column", SPELLINGS.values(), ids=SPELLINGS)
async def test_a_banned_user_is_refused_until_the_ban_lapses(column: str, meet: MeetNeighbour) -> None:
    neighbour = meet("compact", is_admin=True)
    jar = neighbour.sign_up()
    assert neighbour.names(jar)
    if column != "banExpires":
        execute(neighbour.dsn, f'ALTER TABLE "user" RENAME COLUMN "banExpires" TO {column}')
    auth = Auth(neighbour.settings(freshness="always"))
    async with auth.lifespan(None):
        reasons: list[str | None] = [reason(await outcome(auth, request(jar)))]
        for until in ("NULL", "now() + interval '1 hour'", "now() - interval '1 second'"):
            ban(neighbour, until, column)
            reasons.append(reason(await outcome(auth, request(jar))))
    assert reasons == [None, "banned", "banned", None]


@pytest.mark.parametrize("strategy", ["compact", "jwt", "jwe"])
async def test_a_ban_in_the_cache_asks_the_store_which_may_have_lifted_it(strategy: str, meet: MeetNeighbour) -> None:
    neighbour = meet(strategy, is_admin=True)
    jar = neighbour.sign_up()
    auth = Auth(neighbour.settings())
    async with auth.lifespan(None):
        ban(neighbour, "now() + interval '1 hour'")
        # A snapshot from before knows of nothing; the row does.
        assert reason(await outcome(auth, request(jar))) is None
        assert reason(await outcome_by_store(auth, request(jar))) == "banned"
        banned = neighbour.renewed(jar)
        assert neighbour.names(banned), "Better Auth's get-session looks at no ban"
        assert reason(await outcome(auth, request(banned))) == "banned"
        execute(neighbour.dsn, 'UPDATE "user" SET banned = false')
        assert reason(await outcome(auth, request(banned))) is None
        ban(neighbour, "now() - interval '1 second'")
        lapsed = neighbour.renewed(jar)
        execute(neighbour.dsn, "DELETE FROM session")
        assert reason(await outcome(auth, request(lapsed))) is None
    assert auth.counters["cookie_cache"] == 2
