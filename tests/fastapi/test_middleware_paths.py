"""Which paths `AuthMiddleware` excludes."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette._utils import get_route_path
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Message, Scope

from auth_middleware import (
    Auth,
    AuthMiddleware,
    ConfigurationError,
    get_auth,
    lifespan,
)
from dev.cookies import SECRET, cookie, new_token
from tests.support.databases import Database, SignedIn
from tests.support.instances import BASE_URL
from tests.support.middleware import add_routes, application, ignore, receive

Start = Callable[[ASGIApp], TestClient]


@pytest.fixture
def who(database: Database) -> SignedIn:
    return database.sign_in()


@pytest.fixture
def default(environment: pytest.MonkeyPatch, database: Database) -> None:
    environment.setenv("DATABASE_URL", database.dsn)
    environment.setenv("BETTER_AUTH_SECRET", SECRET)
    environment.setenv("BETTER_AUTH_URL", BASE_URL)


def test_excluded_paths_need_no_session(auth: Auth, start: Start, who: SignedIn) -> None:
    client = start(application(auth, required=True, exclude=("/health", "/public/*", "/missing", "/no/such/*")))
    for path in ("/health", "/public/page"):
        assert client.get(path).json() is False
        assert client.get(path, headers=cookie(new_token())).json() is False
        assert client.get(path, headers=who.headers).json() is True
    for path in ("/missing", "/no/such/path"):
        assert client.get(path).status_code == 404
    for path in ("/public", "/publicity", "/health/", "/healthy", "/HEALTH", "//health", "/public/../who"):
        assert client.get("http://testserver" + path).status_code == 401
    assert client.get("/public/%2e%2e/who").status_code == 401


async def test_dots_below_an_excluded_prefix_need_a_session(auth: Auth) -> None:
    seen: list[str] = []

    async def app(scope: Scope, *_: Any) -> None:
        seen.append(scope["path"])

    middleware = AuthMiddleware(app, auth, required=True, exclude=["/static/*"])
    harmless = ["/static/a", "/static/..a", "/static/.../a", "/static/a..", "/static/%2e%2ea", "/static/", "/static//a"]
    with_dots = ["/static/../admin", "/static/./a", "/static/a/..", "/static/.."]
    otherwise_written = [
        "..\\admin",
        "a\\..",
        "%2e%2e/admin",
        ".%2E/admin",
        "..%2fadmin",
        "a%5C..%5cadmin",
        "..;/admin",
    ]
    with_dots += [f"/static/{path}" for path in otherwise_written]
    for path in harmless + with_dots:
        await middleware({"type": "http", "method": "GET", "path": path, "headers": []}, receive, ignore)
    assert seen == harmless


@pytest.mark.parametrize("root_path", ["", "/proxy", "/proxy/", "/health"])
async def test_a_path_is_excluded_as_starlette_routes_it(auth: Auth, root_path: str) -> None:
    app = add_routes(FastAPI())
    app.add_middleware(AuthMiddleware, auth=auth, required=True, exclude=["/health", "/proxy"])
    paths = ["/health", "/proxy", "/proxy/health", "/proxyhealth", "/health/health", "/proxy//health", "/health\n"]
    for path in paths:
        scope: Scope = {"type": "http", "method": "GET", "path": path, "root_path": root_path, "headers": []}
        routed = get_route_path(scope)
        statuses: list[int] = []

        async def send(message: Message, statuses: list[int] = statuses) -> None:
            statuses.extend([message["status"]] if "status" in message else [])

        await app(scope | {"query_string": b""}, receive, send)
        assert (statuses == [401]) == (routed not in ("/health", "/proxy")), (path, routed)


@pytest.mark.parametrize("path", ["/health", "/api/health"])
def test_a_middleware_around_an_application_with_a_root_path(auth: Auth, path: str) -> None:
    app = add_routes(FastAPI())
    app.root_path = "/api"
    app.dependency_overrides[get_auth] = lambda: auth
    client = TestClient(AuthMiddleware(app, required=True, exclude=["/health"]))
    assert client.get(path).json() is False
    assert client.get("/api/who").status_code == 401


@pytest.mark.parametrize("root_path", ["", "/proxy"])
def test_exclude_is_relative_to_a_mounted_application(auth: Auth, root_path: str) -> None:
    inner = add_routes(FastAPI())
    inner.add_middleware(AuthMiddleware, auth=auth, required=True, exclude=["/health"])
    outer = FastAPI()
    outer.mount("/inner", inner)
    client = TestClient(outer, root_path=root_path)
    assert client.get(root_path + "/inner/health").json() is False
    assert client.get(root_path + "/inner/who").status_code == 401
    assert client.get(root_path + "/health").status_code == 404


@pytest.mark.usefixtures("default")
def test_static_files_and_plain_starlette_need_a_session(start: Start, who: SignedIn, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("hello")
    routes = [Mount("/files", StaticFiles(directory=tmp_path)), Mount("/open", StaticFiles(directory=tmp_path))]
    middleware = [Middleware(AuthMiddleware, required=True, exclude=["/open/*"])]
    client = start(Starlette(routes=routes, middleware=middleware, lifespan=lifespan))
    assert client.get("/files/page.html").status_code == 401
    assert client.get("/files/page.html", headers=who.headers).text == "hello"
    assert client.get("/open/page.html").text == "hello"
    asyncio.run(get_auth().close())


@pytest.mark.parametrize(
    "exclude",
    [
        "/health",
        ["health"],
        ["/a*"],
        ["/*/a"],
        [""],
        [b"/health"],
        ["https://a.test/b"],
        ["/items/{id}"],
        ["/a?b=c"],
        ["/a#b"],
        [None],
    ],
)
def test_an_exclude_that_never_matches_is_an_error(auth: Auth, exclude: Any) -> None:
    with pytest.raises(ConfigurationError, match="exclude"):
        AuthMiddleware(FastAPI(), auth, required=True, exclude=exclude)


@pytest.mark.parametrize("exclude", [None, 1, ["/caf%C3%A9"], ["/a%2Fb/*"], ["/%7euser"]])
def test_excluded_paths_that_never_match_are_errors(exclude: Any) -> None:
    with pytest.raises(ConfigurationError, match="exclude"):
        AuthMiddleware(FastAPI(), required=True, exclude=exclude)


def test_a_percent_sign_alone_is_no_escape() -> None:
    AuthMiddleware(FastAPI(), required=True, exclude=["/100%", "/café"])
