"""`AuthMiddleware` and `http_response`, between other middlewares, in FastAPI and Starlette."""

import asyncio
import copy
import logging
import pickle
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, HTTPException
from starlette.applications import Starlette
from starlette.authentication import UnauthenticatedUser, requires
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.types import ASGIApp, Message, Scope

from auth_middleware import (
    Auth,
    AuthError,
    AuthMiddleware,
    AuthUser,
    ConfigurationError,
    StoreUnavailable,
    get_auth,
    get_fresh_user,
    http_response,
    lifespan,
)
from dev.cookies import COOKIE_NAME, SECRET, cookie, new_token
from dev.postgres import EmbeddedPostgres
from tests.support.applications import CurrentUser, connect_websocket
from tests.support.databases import Database, SignedIn, outage
from tests.support.instances import BASE_URL, MakeAuth
from tests.support.middleware import PAGE, add_routes, application, ignore, receive
from tests.support.polling import wait_until
from tests.support.servers import serving

Start = Callable[[ASGIApp], TestClient]
EVIL = {"Origin": "https://evil.example"}


@pytest.fixture
def who(database: Database) -> SignedIn:
    return database.sign_in()


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


async def test_only_an_http_request_is_a_preflight(auth: Auth) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    middleware = AuthMiddleware(FastAPI(), auth, required=True)
    headers = [(b"origin", BASE_URL.encode()), (b"access-control-request-method", b"GET")]
    await middleware({"type": "websocket", "method": "OPTIONS", "path": "/", "headers": headers}, receive, send)
    assert [message["type"] for message in sent] == ["websocket.close"]


def test_the_own_override_of_a_wrapped_application_wins(
    auth: Auth, make_auth: MakeAuth, start: Start, who: SignedIn
) -> None:
    inner, outer = add_routes(FastAPI()), FastAPI()
    outer.dependency_overrides[get_auth] = lambda: make_auth(secret=who.token * 2)
    inner.dependency_overrides[get_auth] = lambda: auth
    outer.mount("/inner", AuthMiddleware(inner, required=True))
    assert start(outer).get("/inner/shared", headers=who.headers).json() is True
    assert auth.counters["identified"] == 1


class Endless:
    """An object that has every attribute, as a mock or a proxy has."""

    def __getattr__(self, name: str) -> "Endless":
        if name.startswith("__"):
            raise AttributeError(name)
        return Endless()

    async def __call__(self, *_: Any) -> None: ...


async def test_any_application_may_be_wrapped(auth: Auth) -> None:
    middleware = AuthMiddleware(Endless(), auth)
    await middleware({"type": "http", "method": "GET", "path": "/", "headers": []}, receive, ignore)


@pytest.mark.parametrize("required", [False, True])
def test_an_error_of_the_application_is_its_own(auth: Auth, start: Start, who: SignedIn, required: bool) -> None:
    app = add_routes(FastAPI(lifespan=auth.lifespan))

    @app.get("/broken")
    async def broken() -> None:
        raise StoreUnavailable("of another store")

    @app.exception_handler(StoreUnavailable)
    async def handle(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse(str(error), 418)

    @app.get("/teapot")
    async def teapot() -> None:
        raise HTTPException(418)

    app.add_middleware(AuthMiddleware, auth=auth, required=required)
    client = start(app)
    assert client.get("/broken", headers=who.headers).json() == "of another store"
    assert client.get("/teapot", headers=who.headers).status_code == 418


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
    wait_until(lambda: client.get("/who", headers=who.headers).status_code == 200)
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
    pickled = pickle.loads(pickle.dumps(user))  # noqa: S301 - our own bytes
    assert user == user.model_copy() == copy.copy(user) == copy.deepcopy(user) == pickled
    blank: Any = AuthUser.__new__(AuthUser)
    with pytest.raises(AttributeError):
        _ = blank.display_name
    with pytest.raises(AttributeError, match="nmae"):
        _ = typed.nmae
    assert not hasattr(AuthUser, "display_name")


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
