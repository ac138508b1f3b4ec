"""An application that is mounted in several places uses the instance of the place that received the request."""

from collections.abc import Callable
from typing import Any
from unittest.mock import MagicMock

import pytest
from fastapi import APIRouter, FastAPI, WebSocket
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.routing import Host, Mount, Route
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from auth_middleware import Auth, AuthMiddleware, ConfigurationError, get_auth, get_current_user, validate_websocket
from auth_middleware.testing import AuthTestKit, Login
from tests.support.applications import CurrentUser

Start = Callable[[ASGIApp], TestClient]


class Tenant:
    """An instance, and a user that only it knows."""

    def __init__(self) -> None:
        kit = AuthTestKit()
        self.auth: Auth[Any, Any] = kit.auth
        self.who = kit.login()


@pytest.fixture
def first() -> Tenant:
    return Tenant()


@pytest.fixture
def second() -> Tenant:
    return Tenant()


@pytest.fixture
def shared() -> FastAPI:
    app = FastAPI()

    @app.get("/me")
    async def me(user: CurrentUser) -> str:
        return user.id

    @app.get("/why")
    async def why(request: Request) -> str:
        with pytest.raises(ConfigurationError) as error:
            await get_current_user(request)
        return str(error.value)

    @app.websocket("/socket")
    async def socket(websocket: WebSocket) -> None:
        identity = await validate_websocket(websocket)
        await websocket.accept()
        await websocket.send_json(identity.user.id if identity else None)

    return app


def overridden(app: FastAPI, tenant: Tenant) -> FastAPI:
    app.dependency_overrides[get_auth] = lambda: tenant.auth
    return app


def around(inner: ASGIApp, tenant: Tenant) -> FastAPI:
    app = overridden(FastAPI(), tenant)
    app.mount("/shared", inner)
    return app


def assert_only(client: TestClient, path: str, known: Login, unknown: Login) -> None:
    assert client.get(f"{path}/me", headers=known.headers).json() == known.user.id
    assert client.get(f"{path}/me", headers=unknown.headers).status_code == 401
    sockets = str(client.base_url).replace("http", "ws").rstrip("/")
    for who, user_id in ((known, known.user.id), (unknown, None)):
        with client.websocket_connect(f"{sockets}{path}/socket", headers=who.headers) as socket:
            assert socket.receive_json() == user_id


def test_the_path_decides(shared: FastAPI, first: Tenant, second: Tenant, start: Start) -> None:
    a, b = around(shared, first), around(shared, second)
    routed = FastAPI()
    for prefix, inner in (("/a", a), ("/b", b)):
        router = APIRouter()
        router.mount("/in", inner)
        routed.include_router(router, prefix=prefix)
    outer = FastAPI()
    outer.mount("/a", a)
    outer.mount("/b", b)
    rooted = FastAPI()
    rooted.root_path = "/root"
    rooted.mount("/a", a)
    rooted.mount("/b", b)
    nested = [Mount("/a", routes=[Mount("", a)]), Mount("", routes=[Mount("/b", b)])]
    for app, above, below in (
        (outer, "", ""),
        (Starlette(routes=[Mount("/x", a), Mount("/a", a), Mount("/{tenant}", b)]), "", ""),
        (Starlette(routes=[Route("/a/none", shared), *nested]), "", ""),
        (routed, "", "/in"),
        (rooted, "/root", ""),
    ):
        client = start(app)
        assert_only(client, f"{above}/a{below}/shared", first.who, second.who)
        assert_only(client, f"{above}/b{below}/shared", second.who, first.who)


def test_the_host_decides(shared: FastAPI, first: Tenant, second: Tenant) -> None:
    app = Starlette(routes=[Host("t1.test", around(shared, first)), Host("t2.test", around(shared, second))])
    assert_only(TestClient(app, base_url="http://t1.test"), "/shared", first.who, second.who)
    assert_only(TestClient(app, base_url="http://t2.test"), "/shared", second.who, first.who)


def test_a_middleware_around_one_of_the_places_decides(
    shared: FastAPI, first: Tenant, second: Tenant, start: Start
) -> None:
    app = overridden(FastAPI(), first)
    app.router.routes.append(Mount("/a", shared, middleware=[Middleware(AuthMiddleware, auth=second.auth)]))
    app.mount("/b", shared)
    client = start(app)
    assert_only(client, "/a", second.who, first.who)
    assert_only(client, "/b", first.who, second.who)


class Rewriting:
    """A middleware that changes the path, so that it no longer tells where the request came in."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app({**scope, "path": "/" + scope["path"].rpartition("/")[2], "root_path": ""}, receive, send)


def test_an_ambiguous_request_is_refused(shared: FastAPI, first: Tenant, second: Tenant, start: Start) -> None:
    outer = FastAPI()
    outer.mount("/a", around(Rewriting(shared), first))
    outer.mount("/b", around(Rewriting(shared), second))
    client = start(outer)
    for path in ("/a", "/b"):
        for who in (first.who, second.who):
            assert client.get(f"{path}/shared/me", headers=who.headers).status_code == 500
        assert "mounted in several applications" in client.get(f"{path}/shared/why").json()


def test_an_override_around_one_of_the_places_only_is_ambiguous_too(
    shared: FastAPI, first: Tenant, second: Tenant, start: Start
) -> None:
    outer = overridden(FastAPI(), second)
    outer.mount("/a", around(Rewriting(shared), first))
    outer.mount("/b", Rewriting(shared))
    client = start(outer)
    for path in ("/a/shared", "/b"):
        assert client.get(f"{path}/me", headers=first.who.headers).status_code == 500


def test_a_changed_path_does_not_matter_with_one_instance(shared: FastAPI, first: Tenant, start: Start) -> None:
    outer = FastAPI()
    outer.mount("/a", around(Rewriting(shared), first))
    outer.mount("/b", around(Rewriting(shared), first))
    client = start(outer)
    for path in ("/a", "/b"):
        assert client.get(f"{path}/shared/me", headers=first.who.headers).json() == first.who.user.id


@pytest.mark.timeout(60)
def test_an_object_that_has_every_attribute_may_be_mounted(shared: FastAPI, first: Tenant, start: Start) -> None:
    app = overridden(FastAPI(), first)
    app.mount("/mock", MagicMock())
    app.mount("/shared", shared)
    app.mount("/rewritten", Rewriting(shared))
    client = start(app)
    for path in ("/shared", "/rewritten"):
        assert client.get(f"{path}/me", headers=first.who.headers).json() == first.who.user.id
