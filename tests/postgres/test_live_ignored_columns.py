"""The live cache beside triggers that ignore columns: what stays cached, and what is refused at start."""

import asyncio
import logging
from datetime import datetime

import pytest

from auth_middleware import Auth, AuthSession, AuthSettings, AuthUser, ConfigurationError
from tests.support.databases import Database, SignedIn
from tests.support.instances import DEFAULTS
from tests.support.live import AGELESS, QUICK, Live, MakeLive, cache_warnings, migrate_live
from tests.support.polling import until

COLUMNS = """
    ALTER TABLE session ADD "lastActivityAt" timestamptz;
    ALTER TABLE "user" ADD last_activity_at timestamptz, ADD banned boolean, ADD ban_expires timestamptz;
"""
IGNORED = ("session.lastActivityAt,session.updatedAt", "user.lastActivityAt")
TOUCH = """UPDATE session SET "lastActivityAt" = clock_timestamp(), updated_at = clock_timestamp()"""
COMMAND = "python -m auth_middleware migrate live --ignoring session.lastActivityAt,session.updatedAt"


class Member(AuthUser):
    last_activity_at: datetime | None


class Login(AuthSession):
    last_activity_at: datetime | None


@pytest.fixture
def touched(database: Database) -> Database:
    """With the columns that an application would update with each request."""
    database.execute(COLUMNS)
    return database


def touch(database: Database, who: SignedIn) -> None:
    database.execute(f"{TOUCH} WHERE id = '{who.session_id}'")
    database.execute(f"""UPDATE "user" SET last_activity_at = clock_timestamp() WHERE id = '{who.user_id}'""")


def settings(database: Database) -> AuthSettings:
    return AuthSettings(database_url=database.dsn, freshness="live", **DEFAULTS, **AGELESS)


async def test_a_hundred_touches_are_a_hundred_hits(touched: Database, make_live: MakeLive) -> None:
    await migrate_live(touched.dsn, *IGNORED)
    who, other = touched.sign_in(), touched.sign_in()
    live = make_live()
    await live.wait_until_cached(who)
    await live.wait_until_cached(other)
    for _ in range(100):
        touch(touched, who)
        assert await live.cached_user_id(who) == who.user_id
    # Notifications arrive in the order of commits: any before this one has arrived.
    touched.execute(f"UPDATE session SET ip_address = '::1' WHERE id = '{other.session_id}'")
    await live.wait_until_evicted(other)
    assert await live.cached_user_id(who) == who.user_id
    assert live.auth.counters["live_invalidations"] == 1


CHANGES = {
    "ban": """UPDATE "user" SET last_activity_at = now(), updated_at = now(), banned = true""",
    "expiry": TOUCH + ", expires_at = now() - interval '1 minute'",
    "deleted": 'DELETE FROM "user"',
}


@pytest.mark.parametrize("change", CHANGES)
async def test_a_touch_together_with_a_real_change_ends_the_session(
    touched: Database, make_live: MakeLive, change: str
) -> None:
    await migrate_live(touched.dsn, *IGNORED)
    who = touched.sign_in()
    live = make_live()
    await live.wait_until_cached(who)
    touched.execute(CHANGES[change])
    await live.wait_until_refused(who)


async def test_a_row_that_is_touched_with_each_request_is_one_warning_with_the_command(
    touched: Database, make_live: MakeLive, caplog: pytest.LogCaptureFixture
) -> None:
    await migrate_live(touched.dsn)
    who = touched.sign_in()
    live = make_live()
    await live.wait_until_cached(who)
    for _ in range(120):
        touched.execute(f"{TOUCH} WHERE id = '{who.session_id}'")
        await until(lambda: live.auth.cache_size.sessions == 0)
        assert await live.cached_user_id(who) is None
    [warning] = [record for record in caplog.records if "--ignoring" in record.getMessage()]
    assert warning.levelno == logging.WARNING
    assert COMMAND in warning.getMessage()


async def test_users_who_come_once_are_no_reason_for_a_warning(
    touched: Database, make_live: MakeLive, caplog: pytest.LogCaptureFixture
) -> None:
    await migrate_live(touched.dsn)
    live = make_live()
    await live.wait_until_cached(touched.sign_in())
    for _ in range(120):
        assert await live.user_id(touched.sign_in())
    assert "--ignoring" not in caplog.text


async def test_the_start_says_what_is_ignored(
    touched: Database, make_live: MakeLive, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "auth_middleware")
    await migrate_live(touched.dsn, *IGNORED)
    await make_live().auth.open()
    [line] = [record.getMessage() for record in caplog.records if "ignore" in record.getMessage()]
    assert line.endswith("only these columns: session.updated_at, session.lastActivityAt, user.last_activity_at")


async def test_without_ignored_columns_the_start_says_nothing_of_them(
    touched: Database, make_live: MakeLive, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "auth_middleware")
    await migrate_live(touched.dsn)
    await make_live().auth.open()
    assert "ignore" not in caplog.text


@pytest.mark.parametrize("model", ["user", "session"])
async def test_a_declared_field_that_is_ignored_is_refused_at_start(touched: Database, model: str) -> None:
    await migrate_live(touched.dsn, *IGNORED)
    auth: Auth[AuthSession, AuthUser] = (
        Auth(settings(touched), user_model=Member) if model == "user" else Auth(settings(touched), session_model=Login)
    )
    with pytest.raises(ConfigurationError) as caught:
        await auth.open()
    await auth.close()
    column = '"user"."last_activity_at"' if model == "user" else '"session"."lastActivityAt"'
    assert f"{column}, which the model's field last_activity_at reads" in str(caught.value)
    assert "migrate live --ignoring" in str(caught.value)


async def test_a_field_that_every_model_has_is_refused_at_start(touched: Database, make_live: MakeLive) -> None:
    await migrate_live(touched.dsn, "user.name")
    with pytest.raises(ConfigurationError, match="the model's field name reads"):
        await make_live().auth.open()


async def test_without_a_start_a_declared_field_that_is_ignored_is_never_cached(
    touched: Database, caplog: pytest.LogCaptureFixture
) -> None:
    await migrate_live(touched.dsn, *IGNORED)
    live = Live(touched.dsn, user_model=Member, **QUICK)
    await live.assert_queries_store(touched.sign_in())
    await live.auth.close()
    [warning] = cache_warnings(caplog)
    assert "the model's field last_activity_at reads" in warning


@pytest.mark.parametrize("column", ["id", "token", "user_id", "expires_at"])
@pytest.mark.parametrize("is_exchanged", [True, False])
async def test_a_trigger_that_was_edited_to_ignore_more_is_refused_at_start(
    touched: Database, make_live: MakeLive, column: str, *, is_exchanged: bool
) -> None:
    await migrate_live(touched.dsn, "session.lastActivityAt")
    edited = f"""replace(source, '"{column}"', '"~"')""" if is_exchanged else "source"
    touched.execute(f"""
        DO $do$
        DECLARE source text := pg_get_functiondef(oid) FROM pg_proc WHERE proname LIKE 'auth_middleware%_session';
        BEGIN
            source := replace(replace({edited}, 'lastActivityAt', '{column}'), '~', 'lastActivityAt');
            EXECUTE source;
        END $do$
    """)
    live = make_live()
    with pytest.raises(ConfigurationError) as caught:
        await live.auth.open()
    assert f'"session"."{column}" must be notified' in str(caught.value)
    assert "migrate live --ignoring" in str(caught.value)


async def test_a_trigger_that_was_edited_otherwise_is_not_used(
    touched: Database, make_live: MakeLive, caplog: pytest.LogCaptureFixture
) -> None:
    await migrate_live(touched.dsn, "session.lastActivityAt")
    touched.execute("""
        DO $do$
        DECLARE source text := pg_get_functiondef(oid) FROM pg_proc WHERE proname LIKE 'auth_middleware%_session';
        BEGIN
            EXECUTE replace(source, 'g."token", ', '');
        END $do$
    """)
    live = make_live(**QUICK)
    await live.auth.open()
    await live.assert_queries_store(touched.sign_in())
    [warning] = cache_warnings(caplog)
    assert "is not the one that this version makes" in warning


async def test_a_running_process_follows_another_list_of_columns(
    touched: Database, make_live: MakeLive, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "auth_middleware")
    await migrate_live(touched.dsn)
    who = touched.sign_in()
    live = make_live(**QUICK)
    await live.wait_until_cached(who)
    await migrate_live(touched.dsn, *IGNORED)
    await until(lambda: live.auth.cache_size.sessions == 0)  # flushed by the next heartbeat
    await live.wait_until_cached(who)
    touch(touched, who)
    assert await live.cached_user_id(who) == who.user_id
    await migrate_live(touched.dsn)
    await until(lambda: live.auth.cache_size.sessions == 0)
    await live.wait_until_cached(who)
    touch(touched, who)
    await live.wait_until_evicted(who)
    assert cache_warnings(caplog) == []


async def test_columns_that_have_changed_since_are_one_warning(
    touched: Database, make_live: MakeLive, caplog: pytest.LogCaptureFixture
) -> None:
    await migrate_live(touched.dsn, *IGNORED)
    touched.execute("ALTER TABLE session ADD impersonated_by text")
    who = touched.sign_in()
    live = make_live(**QUICK)
    await live.auth.open()
    await live.wait_until_cached(who)
    touch(touched, who)
    await live.wait_until_evicted(who)
    await asyncio.sleep(float(QUICK["heartbeat_seconds"]))
    assert await live.user_id(who)
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    [warning] = [warning for warning in warnings if 'the columns of "public"."session" have changed' in warning]
    assert "--ignoring session.updated_at,session.lastActivityAt,user.last_activity_at" in warning
