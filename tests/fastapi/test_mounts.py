"""Mounted sub-applications use the instance of the application around them."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, WebSocket
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Host, Mount
from starlette.testclient import TestClient
from starlette.types import ASGIApp

from auth_middleware import (
    Auth,
    AuthMiddleware,
    ConfigurationError,
    get_auth,
    get_session_from_cookie,
    validate_websocket,
)
from auth_middleware.testing import AuthTestKit, Login
from dev.cookies import SECRET
from tests.support.applications import CurrentUser
from tests.support.databases import Database, SignedIn
from tests.support.instances import BASE_URL

Start = Callable[[ASGIApp], TestClient]


@pytest.fixture
def auth(auth_kit: AuthTestKit) -> Auth:
    return auth_kit.auth


@pytest.fixture
def who(auth_kit: AuthTestKit) -> Login:
    return auth_kit.login()


def unconfigured(**mounts: ASGIApp) -> FastAPI:
    """An application that overrides nothing, with others below it."""
    app = FastAPI()

    @app.get("/me")
    async def me(user: CurrentUser) -> str:
        return user.id

    @app.get("/cookie")
    async def cookie(request: Request) -> bool:
        return bool(await get_session_from_cookie(request))

    @app.websocket("/socket")
    async def socket(websocket: WebSocket) -> None:
        identity = await validate_websocket(websocket)
        await websocket.accept()
        await websocket.send_json(identity.user.id if identity else None)

    for name, mounted in mounts.items():
        app.mount(f"/{name}", mounted)
    return app


class Passing(BaseHTTPMiddleware):
    """Another middleware."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)


def overridden(app: FastAPI, auth: Auth[Any, Any]) -> FastAPI:
    app.dependency_overrides[get_auth] = lambda: auth
    return app


def assert_serves(client: TestClient, path: str, who: Login | SignedIn) -> None:
    user_id = who.user.id if isinstance(who, Login) else who.user_id
    assert client.get(f"{path}/me", headers=who.headers).json() == user_id
    assert client.get(f"{path}/cookie", headers=who.headers).json() is True
    assert client.get(f"{path}/me").status_code == 401
    with client.websocket_connect(f"{path}/socket", headers=who.headers) as socket:
        assert socket.receive_json() == user_id


def test_a_mounted_application_uses_the_override_around_it(auth: Auth, start: Start, who: Login) -> None:
    client = start(overridden(unconfigured(a=unconfigured(b=unconfigured())), auth))
    for path in ("", "/a", "/a/b"):
        assert_serves(client, path, who)


def test_a_mounted_application_below_a_router_uses_the_override(auth: Auth, start: Start, who: Login) -> None:
    router = APIRouter()
    router.mount("/b", unconfigured())
    app = unconfigured(a=Starlette(routes=[Mount("/c", unconfigured())]))
    app.include_router(router)
    app.router.routes.append(Mount("/d", routes=[Mount("/e", unconfigured())]))
    client = start(overridden(app, auth))
    for path in ("/a/c", "/b", "/d/e"):
        assert_serves(client, path, who)


def test_its_own_override_wins(auth: Auth, start: Start, who: Login) -> None:
    own = AuthTestKit().auth
    client = start(overridden(unconfigured(a=overridden(unconfigured(), own)), auth))
    assert_serves(client, "", who)
    assert client.get("/a/me", headers=who.headers).status_code == 401
    assert own.counters["bad_signature"] == 1


def test_the_nearest_override_wins(auth: Auth, start: Start, who: Login) -> None:
    own = AuthTestKit().auth
    near = overridden(unconfigured(b=unconfigured(c=unconfigured())), auth)
    router = APIRouter()
    router.mount("/included", unconfigured())
    near.include_router(router, prefix="/prefix")
    for app in (
        overridden(unconfigured(a=near), own),
        overridden(unconfigured(a=Starlette(routes=[Mount("/", near)])), own),
        overridden(FastAPI(routes=[Mount("/a", routes=[Mount("/", near, middleware=[Middleware(Passing)])])]), own),
        Starlette(routes=[Mount("/a", near)]),
        Starlette(routes=[Host("testserver", Starlette(routes=[Mount("/a", near)]))]),
    ):
        client = start(app)
        for path in ("/a", "/a/b", "/a/b/c", "/a/prefix/included"):
            assert_serves(client, path, who)


def test_a_nearer_middleware_wins_over_an_override(auth: Auth, start: Start, who: Login) -> None:
    other = AuthTestKit().auth
    with_middleware = unconfigured(c=unconfigured())
    with_middleware.add_middleware(AuthMiddleware, auth=auth)
    wrapped = AuthMiddleware(unconfigured(c=unconfigured()), auth)
    for inner in (with_middleware, wrapped):
        app = overridden(unconfigured(a=overridden(unconfigured(b=inner), other)), other)
        app.add_middleware(AuthMiddleware, auth=other)
        client = start(app)
        for path in ("/a/b", "/a/b/c"):
            assert_serves(client, path, who)
        assert client.get("/a/me", headers=who.headers).status_code == 401


def test_a_nearer_override_wins_over_a_middleware(auth: Auth, start: Start, who: Login) -> None:
    app = unconfigured(a=overridden(unconfigured(b=unconfigured()), auth))
    app.add_middleware(AuthMiddleware, auth=AuthTestKit().auth)
    client = start(app)
    for path in ("/a", "/a/b"):
        assert_serves(client, path, who)
    assert client.get("/me", headers=who.headers).status_code == 401


def test_an_override_may_be_set_and_removed_at_any_time(auth: Auth, who: Login) -> None:
    app = overridden(unconfigured(a=unconfigured()), AuthTestKit().auth)
    client = TestClient(app)
    assert client.get("/a/me", headers=who.headers).status_code == 401
    overridden(app, auth)
    assert client.get("/a/me", headers=who.headers).json() == who.user.id


def test_a_middleware_shares_its_instance_with_mounted_applications(auth: Auth, start: Start, who: Login) -> None:
    for app in (unconfigured(a=unconfigured()), Starlette(routes=[Mount("/a", unconfigured())])):
        app.add_middleware(AuthMiddleware, auth=auth)
        assert_serves(start(app), "/a", who)


def test_the_override_is_seen_behind_other_middleware(auth: Auth, start: Start, who: Login) -> None:
    inner = unconfigured()
    inner.add_middleware(Passing)
    app = overridden(unconfigured(a=inner), auth)
    app.add_middleware(Passing)
    assert_serves(start(app), "/a", who)


def test_without_an_override_it_uses_the_default_instance(environment: pytest.MonkeyPatch, database: Database) -> None:
    environment.setenv("DATABASE_URL", database.dsn)
    environment.setenv("BETTER_AUTH_SECRET", SECRET)
    environment.setenv("BETTER_AUTH_URL", BASE_URL)
    who = database.sign_in()
    with TestClient(Starlette(routes=[Mount("/a", unconfigured(b=unconfigured()))])) as client:
        assert_serves(client, "/a", who)
        assert_serves(client, "/a/b", who)
    assert get_auth().counters["identified"] == 4
    asyncio.run(get_auth().close())


async def as_coroutine() -> Any:
    return AuthTestKit().auth


def as_generator() -> Any:
    yield AuthTestKit().auth


async def as_async_generator() -> Any:
    yield AuthTestKit().auth


@pytest.mark.parametrize("override", [as_coroutine, as_generator, as_async_generator, AuthTestKit().auth, lambda: None])
def test_an_override_that_returns_no_auth_is_an_error(override: Any, start: Start) -> None:
    app = FastAPI()
    app.dependency_overrides[get_auth] = override

    @app.get("/")
    async def why(request: Request) -> str:
        with pytest.raises(ConfigurationError) as error:
            await get_session_from_cookie(request)
        return str(error.value)

    assert "without async or yield" in start(app).get("/").json()
