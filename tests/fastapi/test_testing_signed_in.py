"""`signed_in`: whom an application sees, whichever way it asks, without a store and without settings."""

import asyncio
import threading
from collections.abc import Generator
from typing import Annotated, Any
from uuid import UUID

import httpx
import pytest
from fastapi import Depends, FastAPI, Request, WebSocket
from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient, WebSocketDenialResponse

import auth_middleware
from auth_middleware import (
    Auth,
    AuthMiddleware,
    AuthSession,
    AuthSettings,
    AuthUser,
    ConfigurationError,
    get_auth,
    get_current_session,
    get_current_user,
    get_fresh_user,
    get_optional_user,
    get_session_from_cookie,
    guard_request,
    guard_websocket,
    lifespan,
    validate_session,
    validate_websocket,
)
from auth_middleware.testing import AuthTestKit, signed_in


class Member(AuthUser):
    role: str
    plan: str = "free"


@pytest.fixture(autouse=True)
def _no_settings(environment: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "BETTER_AUTH_SECRET", "BETTER_AUTH_URL"):
        environment.delenv(name, raising=False)


def application(members: Auth[AuthSession, Member] | None = None) -> FastAPI:
    members = members or Auth(user_model=Member)
    app = FastAPI(lifespan=lifespan)

    @app.get("/current")
    async def current(user: Annotated[AuthUser, Depends(get_current_user)]) -> str:
        return user.name

    @app.post("/optional")
    async def optional(user: Annotated[AuthUser | None, Depends(get_optional_user)]) -> str | None:
        return user and user.name

    @app.get("/fresh")
    async def fresh(user: Annotated[AuthUser, Depends(get_fresh_user)]) -> str:
        return user.name

    @app.get("/session")
    async def session(session: Annotated[AuthSession, Depends(get_current_session)]) -> str:
        return session.user_id

    @app.get("/sync")
    def synchronous(user: Annotated[AuthUser, Depends(get_current_user)]) -> str:
        return user.name

    @app.get("/awaited")
    async def awaited(request: Request) -> str:
        return (await get_current_user(request)).name

    @app.get("/by-hand")
    async def by_hand(request: Request) -> str | None:
        cookie = request.cookies.get(auth_middleware.SESSION_COOKIE_NAME)
        identity = await validate_session(cookie) if cookie else None
        return identity and identity.user.name

    @app.get("/by-hand-too")
    async def by_hand_too(request: Request) -> str | None:
        identity = await validate_session(await get_session_from_cookie(request))
        return identity and identity.user.name

    @app.get("/guarded")
    async def guarded(request: Request) -> str:
        async with guard_request(request) as guard:
            return guard.identity.user.name

    @app.get("/member")
    async def member(member: Annotated[Member, Depends(members.current_user)]) -> list[str]:
        return [member.name, member.role, member.plan]

    @app.websocket("/validated")
    async def validated(websocket: WebSocket) -> None:
        identity = await validate_websocket(websocket)
        await websocket.accept()
        await websocket.send_json(identity and identity.user.name)

    @app.websocket("/guarded")
    async def guarded_socket(websocket: WebSocket) -> None:
        async with guard_websocket(websocket) as identity:
            await websocket.send_json(identity.user.name)

    @app.websocket("/member")
    async def member_socket(websocket: WebSocket) -> None:
        async with members.guard_websocket(websocket) as identity:
            await websocket.send_json(identity.user.role)

    return app


GET = ("/current", "/fresh", "/sync", "/awaited", "/by-hand", "/by-hand-too", "/guarded")


def received(client: TestClient, path: str, **headers: str) -> Any:
    with client.websocket_connect(path, headers=headers) as socket:
        return socket.receive_json()


@pytest.mark.parametrize("path", GET)
def test_each_way_to_ask_sees_the_person(path: str) -> None:
    app = application()
    with signed_in(app), TestClient(app) as client:
        assert client.get(path).json() == "Ada"


def test_sockets_unsafe_methods_and_sessions_see_the_person() -> None:
    app = application()
    with signed_in(app, name="Grace", role="admiral") as identity, TestClient(app) as client:
        assert received(client, "/validated") == "Grace"
        assert received(client, "/guarded") == "Grace"
        assert received(client, "/member") == "admiral"
        assert client.post("/optional").json() == "Grace"
        assert client.get("/session").json() == identity.user.id == identity.session.user_id


def test_an_own_model_has_the_fields_that_were_passed_and_others_are_made_up() -> None:
    app = application()
    client = TestClient(app)
    with signed_in(app, role="admin"):
        assert client.get("/member").json() == ["Ada", "admin", "free"]
    with signed_in(app, plan="pro"):
        [name, role, plan] = client.get("/member").json()
        assert (name, plan) == ("Ada", "pro")
        assert role


def test_instances_with_other_cookies_and_ids_are_covered() -> None:
    class Account(AuthUser):
        id: UUID  # type: ignore[assignment]

    class Numbered(AuthUser):
        id: int  # type: ignore[assignment]

    shop = Auth(AuthSettings(cookie_prefix="shop", secure_cookies=True, trusted_origins=["https://shop.example.com"]))
    accounts = Auth(user_model=Account)
    numbered = Auth(user_model=Numbered)
    app = FastAPI()

    @app.post("/all")
    async def everything(
        customer: Annotated[AuthUser, Depends(shop.current_user)],
        account: Annotated[Account, Depends(accounts.current_user)],
        number: Annotated[Numbered, Depends(numbered.current_user)],
        usual: Annotated[AuthUser, Depends(get_current_user)],
    ) -> list[str]:
        assert isinstance(account.id, UUID)
        assert isinstance(number.id, int)
        return [customer.name, account.name, number.name, usual.name, customer.id, str(account.id)]

    with signed_in(app) as identity:
        client = TestClient(app)
        expected = ["Ada"] * 4 + [identity.user.id] * 2
        assert client.post("/all").json() == expected
        # The origin is checked as ever, by the application's own settings.
        assert client.post("/all", headers={"origin": "https://evil.example.com"}).status_code == 403


def test_the_trusted_origins_are_the_applications(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("BETTER_AUTH_TRUSTED_ORIGINS", "https://page.example.com")
    app = application()
    with signed_in(app):
        client = TestClient(app)
        assert client.post("/optional", headers={"origin": "https://page.example.com"}).json() == "Ada"
        assert client.post("/optional", headers={"origin": "https://evil.example.com"}).status_code == 403
        with pytest.raises(WebSocketDenialResponse):
            received(client, "/validated", origin="https://evil.example.com")


def test_whatever_credential_a_request_has_it_is_the_persons() -> None:
    app = application()
    with signed_in(app):
        client = TestClient(app, cookies={auth_middleware.SESSION_COOKIE_NAME: "forged.signature"})
        for headers in ({}, {"authorization": "Bearer forged"}, {"cookie": "theme=dark"}):
            for path in GET:
                assert client.get(path, headers=headers).json() == "Ada", path


@pytest.mark.parametrize("credentials", ["jwt", "bearer", "bearer,jwt", "cookie,bearer,jwt"])
def test_applications_that_accept_tokens_are_covered(credentials: str, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("AUTH_MIDDLEWARE_CREDENTIALS", credentials)
    app = application()
    with signed_in(app):
        client = TestClient(app)
        for headers in ({}, {"authorization": "Bearer forged"}):
            assert client.get("/current", headers=headers).json() == "Ada"


def test_blocks_nest_and_restore() -> None:
    app = application()
    with signed_in(app), TestClient(app) as client:
        with signed_in(app, name="Bob", role="guest"):
            assert client.get("/current").json() == "Bob"
            assert client.get("/member").json() == ["Bob", "guest", "free"]
            assert received(client, "/guarded") == "Bob"
        assert client.get("/current").json() == "Ada"
        assert received(client, "/guarded") == "Ada"


def test_a_block_that_raises_restores() -> None:
    app = application()
    kit = AuthTestKit()
    app.dependency_overrides[get_auth] = lambda: kit.auth
    client = TestClient(app)
    assert client.get("/current").status_code == 401
    with pytest.raises(ZeroDivisionError), signed_in(app):
        raise ZeroDivisionError(client.get("/current").json())
    assert client.get("/current").status_code == 401
    assert client.get("/current", headers=kit.login().headers).status_code == 200


def test_afterwards_missing_settings_are_an_error_again() -> None:
    app = application()
    client = TestClient(app)
    with signed_in(app):
        assert client.get("/member").status_code == 200
    for path in ("/current", "/member"):
        assert (client.get(path).status_code, client.get(path).json()) == (
            500,
            {"detail": "Authentication is not configured"},
        )
    with pytest.raises(ConfigurationError, match="BETTER_AUTH_SECRET"), TestClient(app):
        pass


def test_other_applications_are_not_affected() -> None:
    app, other = application(), application()
    kit = AuthTestKit()
    other.dependency_overrides[get_auth] = lambda: kit.auth
    with signed_in(app):
        assert TestClient(app).get("/current").json() == "Ada"
        assert TestClient(other).get("/current").status_code == 401
        with signed_in(other, name="Bob"):
            assert TestClient(app).get("/current").json() == "Ada"
            assert TestClient(other).get("/current").json() == "Bob"


def test_mounted_applications_are_covered_and_may_have_another_person() -> None:
    inner, outer = application(), application()
    plain = Starlette(routes=[Route("/who", _who)])
    inner.mount("/plain", plain)
    outer.mount("/inner", inner)
    client = TestClient(outer)
    with signed_in(outer):
        assert client.get("/inner/current").json() == "Ada"
        assert client.get("/inner/plain/who").json() == "Ada"
        assert received(client, "/inner/guarded") == "Ada"
        with signed_in(inner, name="Bob"):
            assert client.get("/current").json() == "Ada"
            assert client.get("/inner/current").json() == "Bob"
            assert client.get("/inner/plain/who").json() == "Bob"
            with signed_in(outer, name="Carol"):
                assert client.get("/inner/current").json() == "Carol"


async def _who(request: Request) -> JSONResponse:
    return JSONResponse((await get_current_user(request)).name)


def test_the_middleware_is_covered_inside_and_around_and_with_an_instance_of_its_own() -> None:
    async def who(request: Request) -> JSONResponse:
        return JSONResponse([request.user.display_name, (await get_current_user(request)).name])

    starlette = Starlette(routes=[Mount("/", routes=[Route("/who", who)])])
    for auth in (None, Auth(user_model=Member)):
        inside = FastAPI()
        inside.add_api_route("/who", who)
        inside.add_middleware(AuthMiddleware, auth=auth, required=True)
        for app in (
            inside,
            AuthMiddleware(FastAPI(routes=[Route("/who", who)]), auth),
            AuthMiddleware(starlette, auth),
        ):
            with signed_in(app):
                assert TestClient(app).get("/who").json() == ["Ada", "Ada"]


def test_an_application_may_be_signed_in_after_its_first_request_and_before_its_last_middleware() -> None:
    app = application()
    kit = AuthTestKit()
    app.dependency_overrides[get_auth] = lambda: kit.auth
    client = TestClient(app)
    assert client.get("/current").status_code == 401
    with signed_in(app):
        assert client.get("/current").json() == "Ada"
    late = application()
    with signed_in(late):
        late.add_middleware(AuthMiddleware)
        assert TestClient(late).get("/current").json() == "Ada"


async def test_tests_with_httpx_see_their_own_person_at_the_same_time() -> None:
    app = application()

    async def name_seen(name: str) -> str:
        with signed_in(app, name=name):
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                names: list[str] = []
                for _ in range(3):
                    names.append((await client.get("/current")).json())
                    await asyncio.sleep(0)
        [seen] = set(names)
        return seen

    expected = [f"user {number}" for number in range(5)]
    assert await asyncio.gather(*map(name_seen, expected)) == expected


def test_threads_see_their_own_person() -> None:
    app = application()
    seen: dict[str, str] = {}
    both = threading.Barrier(2, timeout=30)

    def sign_in(name: str) -> None:
        with signed_in(app, name=name):
            both.wait()
            seen[name] = TestClient(app).get("/current").json()
            both.wait()

    threads = [threading.Thread(target=sign_in, args=[name]) for name in ("Ada", "Bob")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {"Ada": "Ada", "Bob": "Bob"}


def test_a_thread_of_the_test_sees_the_person() -> None:
    app = application()
    with signed_in(app):
        seen: list[str] = []
        thread = threading.Thread(target=lambda: seen.append(TestClient(app).get("/current").json()))
        thread.start()
        thread.join()
    assert seen == ["Ada"]


async def test_module_level_functions_see_the_innermost_person() -> None:
    app, other = application(), application()
    with signed_in(app) as ada:
        identity = await validate_session("whatever the cookie is")
        assert identity is not None
        assert (identity.user.id, identity.session.token) == (ada.user.id, ada.session.token)
        with signed_in(other, name="Bob"):
            identity = await validate_session(None)
            assert identity is not None
            assert identity.user.name == "Bob"
    with pytest.raises(ConfigurationError):
        await validate_session("a cookie")


@pytest.fixture
async def person_of_an_async_fixture() -> Any:
    app = application()
    with signed_in(app, name="Grace"):
        yield app


async def test_a_fixture_may_enter_and_leave_in_other_contexts(person_of_an_async_fixture: FastAPI) -> None:
    transport = httpx.ASGITransport(person_of_an_async_fixture)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        assert (await client.get("/current")).json() == "Grace"
        with signed_in(person_of_an_async_fixture):
            assert (await client.get("/current")).json() == "Ada"
        assert (await client.get("/current")).json() == "Grace"


@pytest.fixture
def signed_in_client() -> Generator[TestClient]:
    app = application()
    with signed_in(app, name="Grace"), TestClient(app) as client:
        yield client


def test_a_person_for_a_fixtures_client_may_be_replaced(signed_in_client: TestClient) -> None:
    assert signed_in_client.get("/current").json() == "Grace"
    app: Any = signed_in_client.app
    with signed_in(app, name="Bob"):
        assert signed_in_client.get("/current").json() == "Bob"
        assert received(signed_in_client, "/validated") == "Bob"


def test_nothing_but_an_application_can_be_signed_in() -> None:
    async def raw(_scope: object, _receive: object, _send: object) -> None: ...

    with pytest.raises(TypeError, match="FastAPI or Starlette application, not function"), signed_in(raw):
        pass


def test_settings_that_are_wrong_are_still_errors_at_construction() -> None:
    with pytest.raises(ConfigurationError, match="freshness"):
        Auth(AuthSettings(freshness="sometimes"))
    with pytest.raises(ConfigurationError, match="BETTER_AUTH_URL"):
        Auth(AuthSettings(database_url="postgresql://app@localhost/app", secret="x" * 32))
    assert Auth(AuthSettings(freshness="live"), user_model=Member)


async def test_an_instance_without_settings_reads_them_at_first_use(environment: pytest.MonkeyPatch) -> None:
    auths = (Auth(user_model=Member), Auth(AuthSettings(cookie_prefix="shop")))
    for auth in auths:
        with pytest.raises(ConfigurationError, match="secret"):
            _ = auth.cookie_name
        with pytest.raises(ConfigurationError, match="secret"):
            await auth.open()
        with pytest.raises(ConfigurationError):
            await auth.optional_user(HTTPConnection({"type": "http", "method": "GET", "headers": []}))
        await auth.close()
    environment.setenv("DATABASE_URL", "postgresql://app@localhost/app")
    environment.setenv("BETTER_AUTH_SECRET", "x" * 32)
    environment.setenv("BETTER_AUTH_URL", "https://auth.example.com")
    names = [auth.cookie_name for auth in auths]
    assert names == ["__Secure-better-auth.session_token", "__Secure-shop.session_token"]
