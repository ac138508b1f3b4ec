"""How dependencies can be used, and how often one request queries the store."""

import asyncio
from collections.abc import Callable
from typing import Annotated

import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Security, WebSocket
from starlette.requests import HTTPConnection
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.types import ASGIApp

from auth_middleware import (
    Auth,
    AuthUser,
    get_auth,
    get_current_session,
    get_current_user,
    get_optional_user,
    validate_session,
    validate_websocket,
)
from dev.cookies import COOKIE_NAME
from dev.postgres_proxies import counting_proxy
from tests.support.applications import CurrentSession, CurrentUser, OptionalUser
from tests.support.databases import Database, SignedIn
from tests.support.instances import MakeAuth
from tests.support.polling import until

Start = Callable[[ASGIApp], TestClient]


@pytest.fixture
def app(auth: Auth) -> FastAPI:
    app = FastAPI(lifespan=auth.lifespan)
    app.dependency_overrides[get_auth] = lambda: auth
    return app


@pytest.fixture
def who(database: Database) -> SignedIn:
    return database.sign_in()


def test_a_dependency_can_be_a_default_value_or_an_annotation(app: FastAPI, start: Start, who: SignedIn) -> None:
    @app.get("/default")
    async def by_default(user: AuthUser = Depends(get_current_user)) -> str:  # noqa: B008 - FastAPI's older way
        return user.id

    @app.get("/annotation")
    async def by_annotation(user: Annotated[AuthUser, Depends(get_current_user)]) -> str:
        return user.id

    @app.get("/security")
    async def by_security(user: Annotated[AuthUser, Security(get_current_user)]) -> str:
        return user.id

    @app.get("/synchronous")
    def in_a_thread(user: CurrentUser) -> str:
        return user.id

    client = start(app)
    for path in ("/default", "/annotation", "/security", "/synchronous"):
        assert client.get(path, headers=who.headers).json() == who.user_id
        assert client.get(path).status_code == 401


def test_a_dependency_guards_routers_and_applications(auth: Auth, start: Start, who: SignedIn) -> None:
    app = FastAPI(lifespan=auth.lifespan, dependencies=[Depends(auth.current_user)])
    guarded = APIRouter(prefix="/guarded", dependencies=[Depends(get_current_user)])
    included = APIRouter()
    app.dependency_overrides[get_auth] = lambda: auth

    async def page(request: Request) -> str:
        return request.url.path

    app.get("/application")(page)
    guarded.get("/router")(page)
    included.get("/router")(page)
    app.include_router(guarded)
    app.include_router(included, prefix="/included", dependencies=[Depends(get_optional_user)])
    client = start(app)
    for path in ("/application", "/guarded/router", "/included/router"):
        assert client.get(path, headers=who.headers).json() == path
        assert client.get(path).status_code == 401


def test_other_dependencies_can_use_the_current_user(app: FastAPI, start: Start, who: SignedIn) -> None:
    async def greeting(user: CurrentUser, word: str = "Hello") -> str:
        return f"{word}, {user.name}!"

    async def only_ada(user: CurrentUser) -> None:
        if user.name != "Ada Lovelace":
            raise HTTPException(403, "only Ada")

    @app.get("/greeting", dependencies=[Depends(only_ada)])
    async def greet(text: Annotated[str, Depends(greeting)], session: CurrentSession) -> list[str]:
        return [text, session.id]

    client = start(app)
    response = client.get("/greeting?word=Hi", headers=who.headers)
    assert response.json() == ["Hi, Ada Lovelace!", who.session_id]
    assert client.get("/greeting").status_code == 401


def test_a_websocket_route_is_refused_before_it_runs(app: FastAPI, start: Start, who: SignedIn) -> None:
    entered: list[str] = []

    @app.websocket("/ws/{room}")
    async def ws(websocket: WebSocket, room: str, user: CurrentUser) -> None:
        entered.append(room)
        await websocket.accept()
        await websocket.send_text(f"{room}: {user.email}")

    client = start(app)
    with pytest.raises(WebSocketDenialResponse) as denied, client.websocket_connect("/ws/hall"):
        pass
    assert (denied.value.status_code, entered) == (401, [])
    with client.websocket_connect("/ws/hall", headers=who.headers) as socket:
        assert socket.receive_text() == f"hall: {who.email}"


def test_one_request_queries_once_for_all_its_dependencies(
    make_auth: MakeAuth, database: Database, who: SignedIn, start: Start
) -> None:
    app = FastAPI()

    async def inner(user: CurrentUser, session: CurrentSession) -> str:
        return user.id + session.id

    @app.get("/many", dependencies=[Depends(get_current_user), Depends(get_current_session)])
    async def many(
        request: Request, user: CurrentUser, optional: OptionalUser, _inner: Annotated[str, Depends(inner)]
    ) -> list[str]:
        assert optional is not None
        return [
            user.id,
            optional.id,
            (await get_current_user(request)).id,
            (await get_current_session(request)).user_id,
        ]

    with counting_proxy(database.dsn) as proxy:
        auth = make_auth(database_url=proxy.dsn)
        app.dependency_overrides[get_auth] = lambda: auth
        client = start(app)
        client.get("/many", headers=who.headers)
        before = proxy.statements
        for queries in (1, 2, 3):
            assert client.get("/many", headers=who.headers).json() == [who.user_id] * 4
            assert proxy.statements - before == queries
        for headers in ({}, {"Cookie": f"{COOKIE_NAME}={who.token}.{'A' * 43}%3D"}):
            assert client.get("/many", headers=headers).status_code == 401
        assert proxy.statements - before == 3


def test_explicit_validators_query_each_time(
    make_auth: MakeAuth, database: Database, who: SignedIn, start: Start
) -> None:
    app = FastAPI()

    @app.websocket("/ws")
    async def ws(websocket: WebSocket, user: CurrentUser) -> None:
        await websocket.accept()
        assert user.id == who.user_id
        async for _ in websocket.iter_text():
            first = await validate_websocket(websocket)
            second = await auth.validate_session(who.cookie_value)
            remembered = await get_current_user(websocket)
            await websocket.send_json([first is not None, second is not None, remembered.id])

    with counting_proxy(database.dsn) as proxy:
        auth = make_auth(database_url=proxy.dsn)
        app.dependency_overrides[get_auth] = lambda: auth
        with start(app).websocket_connect("/ws", headers=who.headers) as socket:
            before = proxy.statements
            socket.send_text("still there?")
            assert socket.receive_json() == [True, True, who.user_id]
            assert proxy.statements - before == 2
            database.execute("DELETE FROM session")
            socket.send_text("and now?")
            assert socket.receive_json() == [False, False, who.user_id]


async def test_validate_session_uses_the_default_instance(
    environment: pytest.MonkeyPatch, database: Database, who: SignedIn
) -> None:
    environment.setenv("DATABASE_URL", database.dsn)
    environment.setenv("BETTER_AUTH_URL", "http://auth.test")
    environment.setenv("BETTER_AUTH_SECRET", who.token + who.token)
    assert await validate_session(who.cookie_value) is None
    assert get_auth().counters["bad_signature"] == 1
    await get_auth().close()


async def test_cancelling_one_waiter_does_not_cancel_the_others(auth: Auth, database: Database, who: SignedIn) -> None:
    headers = [(name.lower().encode(), value.encode()) for name, value in who.headers.items()]
    request = HTTPConnection({"type": "http", "method": "GET", "headers": headers})
    await auth.open()
    with database.locked() as look_ups_under_way:
        first = asyncio.create_task(auth.current_user(request))
        second = asyncio.create_task(auth.current_user(request))
        third = asyncio.create_task(auth.current_session(request))
        await until(lambda: look_ups_under_way() == 1)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert look_ups_under_way() == 1
    user, session = await asyncio.gather(second, third)
    assert (user.id, session.id) == (who.user_id, who.session_id)
    assert auth.counters["identified"] == 1


async def test_a_lookup_without_waiters_does_no_harm(auth: Auth, database: Database, who: SignedIn) -> None:
    headers = [(name.lower().encode(), value.encode()) for name, value in who.headers.items()]
    await auth.open()
    with database.locked() as look_ups_under_way:
        left = asyncio.create_task(
            auth.current_user(HTTPConnection({"type": "http", "method": "GET", "headers": headers}))
        )
        await until(lambda: look_ups_under_way() == 1)
        left.cancel()
        await asyncio.gather(left, return_exceptions=True)
    stays = HTTPConnection({"type": "http", "method": "GET", "headers": headers})
    assert (await auth.current_user(stays)).id == who.user_id
