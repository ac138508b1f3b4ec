"""Sign-outs during long requests: server-sent events, background tasks, WebSockets."""

import asyncio
from collections.abc import AsyncGenerator, Callable

import pytest
from fastapi import BackgroundTasks, FastAPI, HTTPException, Request, WebSocket
from starlette.requests import HTTPConnection
from starlette.responses import StreamingResponse
from starlette.testclient import TestClient
from starlette.types import ASGIApp

from auth_middleware import Auth, get_auth, get_current_user, get_fresh_user, validate_websocket
from dev.postgres_proxies import counting_proxy
from tests.support.databases import Database, SignedIn
from tests.support.instances import MakeAuth
from tests.support.polling import until

Start = Callable[[ASGIApp], TestClient]
FRESHNESS = ["always", "3600"]


@pytest.fixture
def who(database: Database) -> SignedIn:
    return database.sign_in()


def connection(who: SignedIn, kind: str = "http") -> HTTPConnection:
    headers = [(name.lower().encode(), value.encode()) for name, value in who.headers.items()]
    return HTTPConnection({"type": kind, "method": "GET", "headers": headers})


async def is_signed_in(auth: Auth, request: HTTPConnection) -> bool:
    try:
        await auth.fresh_user(request)
    except HTTPException as refused:
        if refused.status_code == 401:
            return False
        raise
    return True


@pytest.mark.parametrize("freshness", FRESHNESS)
def test_only_fresh_user_notices_a_sign_out_during_an_event_stream(
    make_auth: MakeAuth, database: Database, start: Start, who: SignedIn, freshness: str
) -> None:
    auth = make_auth(freshness=freshness)
    app = FastAPI(lifespan=auth.lifespan)
    app.dependency_overrides[get_auth] = lambda: auth

    @app.get("/events")
    async def events(request: Request) -> StreamingResponse:
        async def stream() -> AsyncGenerator[str]:
            yield (await get_current_user(request)).id + " "
            yield (await get_fresh_user(request)).id + " "
            database.execute("DELETE FROM session")
            try:
                yield (await get_fresh_user(request)).id
            except HTTPException as refused:
                yield str(refused.status_code)

        return StreamingResponse(stream())

    assert start(app).get("/events", headers=who.headers).text == f"{who.user_id} {who.user_id} 401"


def test_a_background_task_notices_a_sign_out(
    make_auth: MakeAuth, database: Database, start: Start, who: SignedIn
) -> None:
    auth = make_auth()
    app = FastAPI(lifespan=auth.lifespan)
    seen: list[bool] = []

    @app.get("/")
    async def respond(request: Request, tasks: BackgroundTasks) -> str:
        async def afterwards() -> None:
            seen.append(await is_signed_in(auth, request))
            database.execute("DELETE FROM session")
            seen.append(await is_signed_in(auth, request))

        tasks.add_task(afterwards)
        return (await auth.current_user(request)).id

    assert start(app).get("/", headers=who.headers).json() == who.user_id
    assert seen == [True, False]


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize("freshness", FRESHNESS)
async def test_each_call_of_fresh_user_queries_the_store(
    make_auth: MakeAuth, database: Database, who: SignedIn, kind: str, freshness: str
) -> None:
    with counting_proxy(database.dsn) as proxy:
        auth = make_auth(database_url=proxy.dsn, freshness=freshness)
        request = connection(who, kind)
        await auth.current_user(request)
        for queries in (1, 2, 3):
            before = proxy.statements
            await auth.fresh_user(request)
            assert proxy.statements == before + 1, queries
        before = proxy.statements
        for _ in range(3):
            await auth.current_user(request)
            await auth.current_session(request)
        assert proxy.statements == before, "the request knows who sent it"
        await auth.close()


async def test_only_a_lookup_that_was_not_sent_is_shared(
    make_auth: MakeAuth, database: Database, who: SignedIn
) -> None:
    with counting_proxy(database.dsn) as proxy:
        auth = make_auth(database_url=proxy.dsn, pool_size=1, lookup_timeout_seconds=30)
        request = connection(who)
        await auth.fresh_user(request)
        before = proxy.statements
        with database.locked() as under_way:
            sent = asyncio.create_task(is_signed_in(auth, request))
            await until(lambda: under_way() == 1)
            # These two wait for the only connection, and share a statement.
            waiting = [asyncio.create_task(is_signed_in(auth, request)) for _ in range(2)]
            await asyncio.sleep(0)
        assert await asyncio.gather(sent, *waiting) == [True] * 3
        assert proxy.statements == before + 2
        await auth.close()


async def test_a_sign_out_between_two_quick_calls_is_noticed(auth: Auth, database: Database, who: SignedIn) -> None:
    request = connection(who)
    assert await is_signed_in(auth, request)
    with database.locked() as under_way:
        first = asyncio.create_task(is_signed_in(auth, request))
        await until(lambda: under_way() == 1)
    await first
    database.execute("DELETE FROM session")
    assert not await is_signed_in(auth, request)
    with pytest.raises(HTTPException, match="401"):
        await auth.current_user(request)


def test_validating_a_websocket_again_does_not_change_its_current_user(
    make_auth: MakeAuth, database: Database, start: Start, who: SignedIn
) -> None:
    auth = make_auth()
    app = FastAPI()
    app.dependency_overrides[get_auth] = lambda: auth

    @app.websocket("/ws")
    async def ws(websocket: WebSocket) -> None:
        assert await get_current_user(websocket)
        await websocket.accept()
        async for _ in websocket.iter_text():
            is_valid = await validate_websocket(websocket) is not None
            remembered = (await get_current_user(websocket)).id
            await websocket.send_json([is_valid, remembered, await is_signed_in(auth, websocket)])

    with start(app).websocket_connect("/ws", headers=who.headers) as socket:
        socket.send_text("")
        assert socket.receive_json() == [True, who.user_id, True]
        database.execute("DELETE FROM session")
        socket.send_text("")
        assert socket.receive_json() == [False, who.user_id, False]
