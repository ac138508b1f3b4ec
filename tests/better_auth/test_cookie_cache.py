"""The cookie cache of real Better Auth servers: when it is used, and what it returns."""

import asyncio
import time
from datetime import datetime

import httpx
import pytest
from fastapi import Depends, FastAPI, HTTPException
from starlette.requests import HTTPConnection

from auth_middleware import Auth, AuthUser, StoreUnavailable, get_auth, get_current_user, get_fresh_user
from dev.better_auth.strategies import TOKEN, cookie_header
from dev.postgres import EmbeddedPostgres, execute
from tests.better_auth.agreement.instance import StartBetterAuth, request, until_the_cache_is_used
from tests.better_auth.agreement.users import ALTER
from tests.support.outcomes import outcome, outcome_by_store
from tests.support.polling import POLL_SECONDS, TIMEOUT_SECONDS

STRATEGIES = ["compact", "jwt", "jwe", "jwks"]
FIELDS: dict[str, dict[str, object]] = {
    "role": {"type": "string", "required": False},
    "joinedAt": {"type": "date", "required": False},
    "tags": {"type": "string[]", "required": False},
    "scores": {"type": "number[]", "required": False},
    "isActive": {"type": "boolean", "required": False},
    "internalNote": {"type": "string", "required": False, "returned": False},
}
SPELLINGS = {"role": "role", "joined_at": "joinedAt", "tags": "tags", "scores": "scores", "is_active": "isActive"}
PROFILE: dict[str, object] = {
    "role": 'a "rôle"',
    "joinedAt": "2020-02-29T01:02:03.004Z",
    "tags": ["α", 'with "quotes", commas', ""],
    "scores": [1, -2, 0],
    "isActive": False,
    "internalNote": "kept",
}


class Member(AuthUser):
    role: str | None = None
    joined_at: datetime | None = None
    tags: list[str] | None = None
    scores: list[int] | None = None
    is_active: bool | None = None


class Player(AuthUser):
    score: float | None = None


class MemberWithNote(AuthUser):
    internal_note: str


class MemberWithOptionalNote(AuthUser):
    internal_note: str | None = None


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_the_cookie_cache_works_while_the_database_is_stopped(
    strategy: str, start_better_auth: StartBetterAuth, cluster: EmbeddedPostgres
) -> None:
    better_auth = start_better_auth(strategy)
    jar = better_auth.sign_up()
    auth = Auth(better_auth.settings())
    async with auth.lifespan(None):
        from_row = await outcome_by_store(auth, request(jar))
        await until_the_cache_is_used(auth, jar)
        hits = auth.counters["cookie_cache"]
        cluster.stop()
        try:
            assert await outcome(auth, request(jar)) == from_row
            with pytest.raises(StoreUnavailable):
                await outcome(auth, request({TOKEN: jar[TOKEN]}))
        finally:
            cluster.start()
    assert not isinstance(from_row, str)
    assert auth.counters["cookie_cache"] == hits + 1


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_own_fields_are_the_same_from_cache_and_row(strategy: str, start_better_auth: StartBetterAuth) -> None:
    better_auth = start_better_auth(strategy, user_fields=FIELDS)
    jars = [(profile, better_auth.sign_up(**profile)) for profile in (PROFILE, {})]
    auth = Auth(better_auth.settings(), user_model=Member)
    async with auth.lifespan(None):
        for profile, jar in jars:
            await until_the_cache_is_used(auth, jar)
            hits = auth.counters["cookie_cache"]
            cached, stored = await outcome(auth, request(jar)), await outcome_by_store(auth, request(jar))
            assert auth.counters["cookie_cache"] == hits + 1
            assert cached == stored
            assert not isinstance(cached, str)
            fields = {
                "role": "role",
                "joined_at": "joinedAt",
                "tags": "tags",
                "scores": "scores",
                "is_active": "isActive",
            }
            given = {name: profile.get(field) for name, field in fields.items()}
            assert cached.user == cached.user.model_validate({**cached.user.model_dump(), **given})


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("score", [2.0**63, 1e21, -1e300])
async def test_a_number_beyond_64_bits_does_not_make_the_cookie_unreadable(
    strategy: str, score: float, start_better_auth: StartBetterAuth
) -> None:
    better_auth = start_better_auth(strategy, user_fields={"score": {"type": "number", "required": False}})
    execute(better_auth.dsn, ALTER)
    jar = better_auth.sign_up(score=score)
    auth = Auth(better_auth.settings(), user_model=Player)
    async with auth.lifespan(None):
        await until_the_cache_is_used(auth, jar)
        cached = await outcome(auth, request(jar))
        assert not isinstance(cached, str)
        assert cached.user.score == score
        assert cached == await outcome_by_store(auth, request(jar))


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("model", [MemberWithNote, MemberWithOptionalNote])
async def test_a_field_missing_in_the_cookie_is_read_from_the_row(
    strategy: str,
    model: type[MemberWithNote | MemberWithOptionalNote],
    start_better_auth: StartBetterAuth,
    caplog: pytest.LogCaptureFixture,
) -> None:
    better_auth = start_better_auth(strategy, user_fields=FIELDS)
    jar = better_auth.sign_up(**PROFILE)
    trusting, noted = Auth(better_auth.settings()), Auth(better_auth.settings(), user_model=model)
    async with trusting.lifespan(None), noted.lifespan(None):
        await until_the_cache_is_used(trusting, jar)

        def warnings() -> list[str]:
            return [record.getMessage() for record in caplog.records if "internal_note" in record.getMessage()]

        # Before its public keys are read, it cannot read the cookie either.
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not warnings():
            assert time.monotonic() < deadline, "the missing field was not reported"
            from_row = await outcome(noted, request(jar))
            assert not isinstance(from_row, str)
            assert from_row.user.internal_note == "kept"
            await asyncio.sleep(POLL_SECONDS)
        assert await outcome(noted, request(jar))
    assert noted.counters["cookie_cache"] == 0
    [warning] = warnings()
    assert "cookie_cache" in warning


async def test_fresh_user_sees_a_sign_out_at_once(start_better_auth: StartBetterAuth) -> None:
    better_auth = start_better_auth("compact")
    jar = better_auth.sign_up()
    auth = Auth(better_auth.settings())
    app = FastAPI(lifespan=auth.lifespan)
    app.dependency_overrides[get_auth] = lambda: auth

    @app.get("/cached", dependencies=[Depends(get_current_user)])
    @app.get("/fresh", dependencies=[Depends(get_fresh_user)])
    @app.get("/own/fresh", dependencies=[Depends(auth.fresh_user)])
    async def nothing() -> None:
        pass

    @app.get("/both")
    async def both(connection: HTTPConnection) -> list[int]:
        """Uses three dependencies in one request."""
        statuses: list[int] = []
        for dependency in (auth.current_user, auth.fresh_user, auth.current_user):
            try:
                await dependency(connection)
                statuses.append(200)
            except HTTPException as refusal:
                statuses.append(refusal.status_code)
        return statuses

    headers = {"Cookie": cookie_header(*jar.items()).decode()}
    transport = httpx.ASGITransport(app)
    async with auth.lifespan(None), httpx.AsyncClient(transport=transport, base_url="http://api.test") as page:

        async def statuses() -> list[int]:
            paths = ("/cached", "/fresh", "/own/fresh")
            return [(await page.get(path, headers=headers)).status_code for path in paths]

        assert await statuses() == [200, 200, 200]
        assert (await page.get("/both", headers=headers)).json() == [200, 200, 200]
        better_auth.sign_out(jar)
        assert await statuses() == [200, 401, 401]
        assert (await page.get("/both", headers=headers)).json() == [200, 401, 401]
    assert better_auth.email_of(jar) is not None, "Better Auth's own cache still accepts the session"
