"""Answers that are kept in the process, and every way in which a session ends or changes meanwhile."""

from functools import cached_property

import pytest
from pydantic import ConfigDict, PrivateAttr
from starlette.requests import HTTPConnection

from auth_middleware import AuthUser, StoreUnavailable
from tests.support.databases import Database, SignedIn
from tests.support.live import MakeLive, migrate_live
from tests.support.tables import person, plain

CONNECTIONS = "SELECT count(*), count(*) FILTER (WHERE application_name LIKE '%%listener') FROM pg_stat_activity \
WHERE application_name LIKE 'auth_middleware%%' AND datname = current_database()"


async def test_a_session_is_asked_for_once(database: Database, make_live: MakeLive) -> None:
    await migrate_live(database.dsn)
    everybody = [database.sign_in() for _ in range(20)]
    live = make_live()
    await live.auth.open()
    for who in everybody:
        await live.wait_until_cached(who)
    assert live.auth.cache_size.sessions == 20
    with database.locked() as blocked:
        for _ in range(10):
            for who in everybody:
                assert await live.user_id(who) == who.user_id
        assert blocked() == 0, "nobody asks for what is kept"
    assert database.fetch(CONNECTIONS) in ([(2, 1)], [(3, 1)]), "one that asks (two, under load), and one that listens"


# What becomes of somebody's session, and whether they are still signed in.
ENDS = {
    "sign-out": "DELETE FROM session WHERE id = '{session}'",
    "sign-out of one of many in one statement": "DELETE FROM session WHERE user_id IN ('{user}', 'nobody')",
    "expiry": "UPDATE session SET expires_at = now() - interval '1 second' WHERE id = '{session}'",
    "another token": "UPDATE session SET token = 'rotated' WHERE id = '{session}'",
    "another user": "UPDATE session SET user_id = '{other}' WHERE id = '{session}'",
    "user deleted": "DELETE FROM \"user\" WHERE id = '{user}'",
    "sessions truncated": "TRUNCATE session CASCADE",
    "users truncated": 'TRUNCATE "user" CASCADE',
    "bulk purge": "DELETE FROM session WHERE id = '{session}' OR id LIKE 'bulk-%'",
    "in a transaction": "BEGIN; SAVEPOINT a; DELETE FROM session WHERE id = '{session}'; RELEASE a; COMMIT",
    "as a replica": "SET session_replication_role = replica; DELETE FROM session WHERE id = '{session}'",
}


@pytest.mark.parametrize("end", ENDS)
async def test_the_end_of_a_session_is_heard(database: Database, make_live: MakeLive, end: str) -> None:
    await migrate_live(database.dsn)
    who, other = database.sign_in(), database.sign_in()
    database.execute(
        f"INSERT INTO session (id, user_id, token, expires_at) "
        f"SELECT 'bulk-' || n, '{other.user_id}', 'bulk-' || n, now() + interval '1 day' FROM generate_series(1, 500) n"
    )
    live = make_live()
    await live.wait_until_cached(who)
    database.execute(ENDS[end].format(session=who.session_id, user=who.user_id, other=other.user_id))
    if end == "another user":
        await live.wait_for(who, other.user_id, live.user_id)
    else:
        await live.wait_until_refused(who)


async def test_a_change_that_is_rolled_back_changes_nothing(database: Database, make_live: MakeLive) -> None:
    await migrate_live(database.dsn)
    who, other = database.sign_in(), database.sign_in()
    live = make_live()
    await live.wait_until_cached(who)
    await live.wait_until_cached(other)
    database.execute(f"BEGIN; DELETE FROM session WHERE id = '{who.session_id}'; ROLLBACK")
    database.execute(f"DELETE FROM session WHERE id = '{other.session_id}'")
    await live.wait_until_refused(other)
    assert await live.cached_user_id(who) == who.user_id


async def test_a_changed_user_is_seen_in_all_their_sessions(database: Database, make_live: MakeLive) -> None:
    await migrate_live(database.dsn)
    who = database.sign_in()
    live = make_live()
    await live.wait_until_cached(who)
    database.execute(f"""UPDATE "user" SET name = 'Countess' WHERE id = '{who.user_id}'""")
    await live.wait_until_evicted(who)
    identity = await live.auth.validate_session(who.cookie_value)
    assert identity
    assert identity.user.name == "Countess"


async def test_a_ban_is_heard_and_so_is_its_end(database: Database, make_live: MakeLive) -> None:
    database.execute('ALTER TABLE "user" ADD banned boolean, ADD ban_expires timestamptz')
    await migrate_live(database.dsn)
    who = database.sign_in()
    live = make_live()
    await live.wait_until_cached(who)
    database.execute(f"""UPDATE "user" SET banned = true WHERE id = '{who.user_id}'""")
    await live.wait_until_refused(who)
    assert live.auth.counters["banned"] > 0
    database.execute(f"""UPDATE "user" SET banned = false WHERE id = '{who.user_id}'""")
    await live.wait_until_cached(who)


async def test_ids_that_are_numbers_and_users_without_a_foreign_key(
    empty_database: Database, make_live: MakeLive
) -> None:
    empty_database.execute(plain(id_type="bigint", user_id_type="text"))
    empty_database.execute(person("7", "token-of-seven"))
    await migrate_live(empty_database.dsn)
    live = make_live(empty_database.dsn)
    who = SignedIn("7", "7", "token-of-seven", "ada@example.com")
    await live.wait_until_cached(who)
    empty_database.execute('DELETE FROM "user"')
    await live.wait_until_refused(who)
    assert live.auth.counters["unknown_user"] > 0


async def test_a_route_that_must_know_asks_the_store(database: Database, make_live: MakeLive) -> None:
    await migrate_live(database.dsn)
    who = database.sign_in()
    live = make_live(lookup_timeout_seconds=0.2)
    await live.wait_until_cached(who)
    scope = {"type": "http", "method": "GET", "headers": [(b"cookie", who.headers["Cookie"].encode())]}
    with database.locked():
        assert (await live.auth.current_user(HTTPConnection(dict(scope)))).id == who.user_id
        with pytest.raises(StoreUnavailable):
            await live.auth.fresh_user(HTTPConnection(dict(scope)))


async def test_seconds_are_the_same_cache_without_a_feed(database: Database, make_live: MakeLive) -> None:
    who = database.sign_in()
    live = make_live(freshness=3600)
    await live.auth.open()
    assert await live.cached_user_id(who) is None
    assert await live.cached_user_id(who) == who.user_id
    database.execute("DELETE FROM session")
    assert await live.cached_user_id(who) == who.user_id, "so it was chosen"
    assert database.fetch(CONNECTIONS) == [(1, 0)]
    brief = make_live(freshness="0.001")
    assert await brief.user_id(who) is None


async def test_no_more_than_so_many_are_kept(database: Database, make_live: MakeLive) -> None:
    everybody = [database.sign_in() for _ in range(10)]
    live = make_live(freshness=3600, max_cached_sessions=4)
    for who in everybody:
        assert await live.user_id(who) == who.user_id
    size = live.auth.cache_size
    assert size.sessions == 4
    assert 0 < size.bytes <= 4 * 1024
    assert await live.cached_user_id(everybody[0]) is None
    assert await live.cached_user_id(everybody[-1]) == everybody[-1].user_id


class Tagged(AuthUser):
    tags: list[str]


class Described(AuthUser):
    tags: str

    @cached_property
    def words(self) -> list[str]:
        return self.tags.split()


class Private(AuthUser):
    _seen: list[str] = PrivateAttr(default_factory=list[str])


class Loose(AuthUser):
    model_config = ConfigDict(frozen=False)


@pytest.mark.parametrize("model", [AuthUser, Tagged, Described, Private, Loose])
async def test_an_object_is_shared_only_if_nobody_can_change_it(
    database: Database, make_live: MakeLive, model: type[AuthUser]
) -> None:
    kind = "text[] NOT NULL DEFAULT '{a,b}'" if model is Tagged else "text NOT NULL DEFAULT 'a b'"
    database.execute(f'ALTER TABLE "user" ADD tags {kind}')
    who = database.sign_in()
    live = make_live(freshness=3600, user_model=model)
    first, second, third = [await live.auth.validate_session(who.cookie_value) for _ in range(3)]
    assert first
    assert second
    assert third
    assert first.user == second.user == third.user
    assert live.auth.counters["live_cache"] == 2
    assert (second.user is third.user) == (model is AuthUser)
