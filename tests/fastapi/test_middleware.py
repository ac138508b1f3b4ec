"""`AuthMiddleware` and `http_response`, between other middlewares, in FastAPI and Starlette."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, HTTPException, WebSocket
from starlette.applications import Starlette
from starlette.authentication import UnauthenticatedUser, requires
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.types import ASGIApp, Message, Scope

from auth_middleware import (
    Auth,
    AuthError,
    AuthMiddleware,
    AuthUser,
    ConfigurationError,
    get_auth,
    get_current_session,
    get_fresh_user,
    http_response,
    lifespan,
)
from dev.cookies import COOKIE_NAME, SECRET, cookie, new_token
from dev.postgres import EmbeddedPostgres
from tests.support.applications import CurrentUser, OptionalUser, connect_websocket
from tests.support.databases import Database, SignedIn, outage
from tests.support.instances import BASE_URL, MakeAuth
from tests.support.servers import serving

Start = Callable[[ASGIApp], TestClient]
PAGE = "http://page.test"
EVIL = {"Origin": "https://evil.example"}


@pytest.fixture
def who(database: Database) -> SignedIn:
    return database.sign_in()


def add_routes(app: FastAPI) -> FastAPI:
    """Routes that show the user of the request, and how many look-ups there were."""

    @app.api_route("/who", methods=["GET", "POST", "OPTIONS"])
    async def show(request: Request) -> list[Any]:
        return [request.user.is_authenticated, request.user.display_name, request.user.identity, request.auth.scopes]

    @app.get("/health")
    @app.get("/public/page")
    @app.get("/public")
    @app.get("/publicity")
    async def public(request: Request) -> bool:
        return request.user.is_authenticated

    @app.get("/shared")
    async def shared(request: Request, user: CurrentUser, again: OptionalUser) -> bool:
        session = await get_current_session(request)
        return request.user is user is again and session.user_id == user.id

    @app.websocket("/socket")
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_json(websocket.user.identity)

    return app


def application(auth: Auth[Any, Any], **options: Any) -> FastAPI:
    """`AuthMiddleware` inside CORS, as documented."""
    app = FastAPI(lifespan=auth.lifespan)
    app.dependency_overrides[get_auth] = lambda: auth
    app.add_middleware(AuthMiddleware, **options)
    app.add_middleware(CORSMiddleware, allow_origins=[PAGE], allow_methods=["*"], allow_credentials=True)
    return add_routes(app)


def test_the_user_is_set_as_by_starlettes_middleware(auth: Auth, start: Start, who: SignedIn) -> None:
    client = start(application(auth))
    signed_in = [True, "Ada Lovelace", who.user_id, ["authenticated"]]
    assert client.get("/who", headers=who.headers).json() == signed_in
    for anonymous in ({}, cookie(new_token()), {"Cookie": f"{COOKIE_NAME}=nonsense"}):
        assert client.get("/who", headers=anonymous).json() == [False, "", "", []]
    with client.websocket_connect("/socket", headers=who.headers) as socket:
        assert socket.receive_json() == who.user_id
    with client.websocket_connect("/socket") as socket:
        assert socket.receive_json() == ""


def test_dependencies_share_the_lookup(auth: Auth, start: Start, database: Database, who: SignedIn) -> None:
    client = start(application(auth))
    assert client.get("/shared", headers=who.headers).json() is True
    assert auth.counters["identified"] == 1
    assert client.get("/shared", headers=cookie(new_token())).status_code == 401
    assert auth.counters["unknown_session"] == 1

    app = client.app
    assert isinstance(app, FastAPI)

    @app.get("/revoked")
    async def revoked(request: Request, user: CurrentUser) -> list[Any]:
        database.execute(f"DELETE FROM session WHERE id = '{who.session_id}'")
        try:
            await get_fresh_user(request)
        except (AuthError, HTTPException) as error:
            return [user.id, http_response(error).status_code]
        return []

    assert client.get("/revoked", headers=who.headers).json() == [who.user_id, 401]


def test_an_explicit_instance_is_also_that_of_the_dependencies(auth: Auth, start: Start, who: SignedIn) -> None:
    app = add_routes(FastAPI(lifespan=auth.lifespan))
    app.add_middleware(AuthMiddleware, auth=auth)
    assert start(app).get("/shared", headers=who.headers).json() is True
    assert auth.counters["identified"] == 1


@pytest.mark.parametrize("headers", [{}, cookie(new_token()), {"Cookie": f"{COOKIE_NAME}=a.b"}])
def test_required_is_401_with_cors_headers(auth: Auth, start: Start, headers: dict[str, str]) -> None:
    client = start(application(auth, required=True))
    response = client.get("/who", headers=headers | {"Origin": PAGE})
    detail = "Invalid or expired session" if headers else "Not authenticated"
    assert (response.status_code, response.json()) == (401, {"detail": detail})
    assert response.headers["www-authenticate"] == 'Cookie realm="better-auth"'
    assert response.headers["access-control-allow-origin"] == PAGE
    assert client.get("/no/such/path", headers=headers).status_code == 401
    assert client.get("/openapi.json", headers=headers).status_code == 401
    assert client.options("/who", headers=headers).status_code == 401
    with pytest.raises(WebSocketDenialResponse) as refused, client.websocket_connect("/socket", headers=headers):
        pass
    assert (refused.value.status_code, refused.value.json()) == (401, {"detail": detail})


def test_required_lets_users_and_preflights_pass(auth: Auth, start: Start, who: SignedIn) -> None:
    inside, alone = application(auth, required=True), add_routes(FastAPI())
    alone.add_middleware(AuthMiddleware, auth=auth, required=True)
    preflight = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}
    response = start(inside).options("/who", headers=preflight)
    assert (response.status_code, response.headers["access-control-allow-origin"]) == (200, PAGE)
    client = start(alone)
    assert client.options("/who", headers=preflight).json() == [False, "", "", []]
    for half in ({"Origin": PAGE}, {"Access-Control-Request-Method": "POST"}):
        assert client.options("/who", headers=half).status_code == 401
    assert client.get("/who", headers=preflight).status_code == 401
    assert client.get("/who", headers=who.headers).json()[2] == who.user_id


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
    for path in ("/static/a", "/static/../admin", "/static/./a", "/static/a/..", "/static/..a"):
        await middleware({"type": "http", "method": "GET", "path": path, "headers": []}, receive, ignore)
    assert seen == ["/static/a", "/static/..a"]


async def receive() -> Message:
    return {"type": "http.disconnect"}


async def ignore(_: Message) -> None: ...


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


def test_a_foreign_page_is_403_with_cors_headers(auth: Auth, start: Start, who: SignedIn) -> None:
    app = application(auth, exclude=["/who"], required=True)
    app.user_middleware.pop(0)
    app.add_middleware(CORSMiddleware, allow_origins=["*"], allow_credentials=True)
    client = start(app)
    response = client.post("/who", headers=who.headers | EVIL)
    assert (response.status_code, response.json()) == (403, {"detail": "Origin not allowed"})
    assert response.headers["access-control-allow-origin"] == EVIL["Origin"]
    with (
        pytest.raises(WebSocketDenialResponse) as refused,
        client.websocket_connect("/socket", headers=who.headers | EVIL),
    ):
        pass
    assert refused.value.status_code == 403
    assert client.get("/who", headers=who.headers | EVIL).status_code == 200


def test_an_outage_is_503_and_never_anonymous(
    auth: Auth, postgres: EmbeddedPostgres, start: Start, who: SignedIn
) -> None:
    client = start(application(auth))
    with outage(postgres):
        response = client.get("/who", headers=who.headers | {"Origin": PAGE})
        assert (response.status_code, response.headers["retry-after"]) == (503, "1")
        assert response.json() == {"detail": "Authentication is temporarily unavailable"}
        assert response.headers["access-control-allow-origin"] == PAGE
        assert client.get("/who").json()[0] is False
    assert client.get("/who", headers=who.headers).json()[0] is True


def test_a_missing_setting_is_500(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("DATABASE_URL", raising=False)
    app = add_routes(FastAPI())
    app.add_middleware(AuthMiddleware)
    response = TestClient(app).get("/who")
    assert (response.status_code, response.json()) == (500, {"detail": "Authentication is not configured"})


def test_middleware_inside_sees_the_user_and_may_raise(auth: Auth, start: Start, who: SignedIn) -> None:
    async def members_only(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        if not request.user.is_authenticated:
            return JSONResponse("members only", 418)
        response = await call_next(request)
        response.headers["x-user"] = request.user.identity
        return response

    app = add_routes(FastAPI())
    app.add_middleware(BaseHTTPMiddleware, dispatch=members_only)
    app.add_middleware(AuthMiddleware, auth=auth)
    client = start(app)
    assert client.get("/who").status_code == 418
    response = client.get("/shared", headers=who.headers)
    assert (response.json(), response.headers["x-user"]) == (True, who.user_id)
    assert auth.counters["identified"] == 1


async def test_a_server_without_denial_responses_gets_a_close(auth: Auth) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    middleware = AuthMiddleware(FastAPI(), auth, required=True)
    scope: Scope = {"type": "websocket", "path": "/socket", "headers": []}
    await middleware(scope, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1008, "reason": "Not authenticated"}]


def test_over_sockets(auth: Auth, who: SignedIn) -> None:
    with serving(application(auth, required=True)) as url, httpx.Client(base_url=url, trust_env=False) as client:
        assert client.get("/who", headers=who.headers).json()[2] == who.user_id
        refused = client.post("/who", headers={"Origin": PAGE}, content=b"x" * 100_000)
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, PAGE)
        assert connect_websocket(f"{url}/socket", who.headers).body == who.user_id
        denied = connect_websocket(f"{url}/socket", {})
        assert (denied.status, denied.body) == (401, {"detail": "Not authenticated"})


def test_around_the_application(auth: Auth, start: Start, who: SignedIn) -> None:
    app = add_routes(FastAPI(lifespan=auth.lifespan))
    app.dependency_overrides[get_auth] = lambda: auth
    for wrapped in (AuthMiddleware(app), AuthMiddleware(CORSMiddleware(app, allow_origins=[PAGE]))):
        client = start(wrapped)
        assert client.get("/who", headers=who.headers).json()[2] == who.user_id
        assert client.get("/shared", headers=who.headers).json() is True
    assert auth.counters["identified"] == 4


@pytest.fixture
def default(environment: pytest.MonkeyPatch, database: Database) -> None:
    environment.setenv("DATABASE_URL", database.dsn)
    environment.setenv("BETTER_AUTH_SECRET", SECRET)
    environment.setenv("BETTER_AUTH_URL", BASE_URL)


@pytest.mark.usefixtures("default")
def test_starlettes_requires_works(start: Start, who: SignedIn) -> None:
    @requires("authenticated")
    async def dashboard(request: Request) -> JSONResponse:
        return JSONResponse(request.user.id)

    @requires("authenticated", redirect="sign_in")
    def page(request: Request) -> JSONResponse:
        return JSONResponse(request.user.email)

    async def sign_in(request: Request) -> JSONResponse:
        return JSONResponse(isinstance(request.user, UnauthenticatedUser))

    routes = [Route("/dashboard", dashboard), Route("/page", page), Route("/sign-in", sign_in, name="sign_in")]
    app = Starlette(routes=routes, middleware=[Middleware(AuthMiddleware)], lifespan=lifespan)
    client = start(app)
    assert client.get("/dashboard", headers=who.headers).json() == who.user_id
    assert client.get("/page", headers=who.headers).json() == who.email
    assert client.get("/dashboard").status_code == 403
    assert client.get("/page").json() is True
    asyncio.run(get_auth().close())


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


class Member(AuthUser):
    """An application's own idea of what Starlette expects."""

    display_name: str
    is_authenticated: bool = False

    @property
    def identity(self) -> str:
        return f"member:{self.id}"


def test_the_model_may_declare_the_attributes(
    make_auth: MakeAuth, database: Database, start: Start, who: SignedIn
) -> None:
    assert Member.model_fields["display_name"].is_required()
    database.execute("""ALTER TABLE "user" ADD display_name TEXT DEFAULT 'Countess', ADD is_authenticated BOOL""")
    database.execute("""UPDATE "user" SET is_authenticated = true""")
    client = start(application(make_auth(user_model=Member)))
    assert client.get("/who", headers=who.headers).json()[:3] == [True, "Countess", f"member:{who.user_id}"]


def test_the_attributes_are_in_no_dump_and_others_are_still_errors() -> None:
    user = AuthUser(
        id="1", name="Grace", email="g@example.com", email_verified=True, image=None, created_at=None, updated_at=None
    )
    typed: Any = user
    assert (typed.is_authenticated, typed.display_name, typed.identity) == (True, "Grace", "1")
    assert user.model_dump().keys() == AuthUser.model_fields.keys()
    assert user == user.model_copy()
    with pytest.raises(AttributeError, match="nmae"):
        _ = typed.nmae
    assert not hasattr(AuthUser, "display_name")


@pytest.mark.parametrize(
    "exclude", ["/health", ["health"], ["/a*"], ["/*/a"], [""], [b"/health"], ["https://a.test/b"]]
)
def test_an_exclude_that_never_matches_is_an_error(auth: Auth, exclude: Any) -> None:
    with pytest.raises(ConfigurationError, match="exclude"):
        AuthMiddleware(FastAPI(), auth, required=True, exclude=exclude)


@pytest.mark.parametrize("wrong", [Auth, get_auth, "auth", object()])
def test_an_auth_of_another_type_is_an_error(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="instance of Auth"):
        AuthMiddleware(FastAPI(), wrong)


def test_options_without_effect_are_reported(auth: Auth, caplog: pytest.LogCaptureFixture) -> None:
    app = FastAPI()
    AuthMiddleware(app, auth, required=True, exclude=["/health"])
    CORSMiddleware(AuthMiddleware(app, auth))
    assert not [record for record in caplog.records if record.name == "auth_middleware"]
    AuthMiddleware(app, auth, exclude=["/health"])
    AuthMiddleware(CORSMiddleware(app), auth)
    messages = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert ["exclude" in messages[0], "CORSMiddleware" in messages[1], len(messages)] == [True, True, 2]
