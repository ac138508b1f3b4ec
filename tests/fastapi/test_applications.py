"""How an application gets its instance: overrides, lifespans, mounts, several instances, plain Starlette."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Annotated

import pytest
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient
from starlette.types import ASGIApp

from auth_middleware import (
    Auth,
    AuthUser,
    SchemaError,
    get_auth,
    get_current_user,
    get_session_from_cookie,
    lifespan,
    validate_session,
)
from dev.cookies import COOKIE_NAME, SECRET, cookie
from tests.support.applications import CurrentUser, guarded
from tests.support.databases import Database, SignedIn
from tests.support.instances import BASE_URL, MakeAuth, unreachable_dsn
from tests.support.polling import wait_until

Start = Callable[[ASGIApp], TestClient]


@pytest.fixture
def who(database: Database) -> SignedIn:
    return database.sign_in()


@pytest.fixture
def default(environment: pytest.MonkeyPatch, database: Database) -> None:
    """The default instance reads the test's database."""
    environment.setenv("DATABASE_URL", database.dsn)
    environment.setenv("BETTER_AUTH_SECRET", SECRET)
    environment.setenv("BETTER_AUTH_URL", BASE_URL)


def with_route(app: FastAPI) -> FastAPI:
    @app.get("/me")
    async def me(user: CurrentUser) -> str:
        return user.id

    return app


@pytest.mark.usefixtures("default")
def test_the_documented_application_needs_only_environment_variables(start: Start, who: SignedIn) -> None:
    client = start(with_route(FastAPI(lifespan=lifespan)))
    assert client.get("/me", headers=who.headers).json() == who.user_id
    assert get_auth().counters["identified"] == 1


@pytest.mark.usefixtures("default")
def test_without_a_lifespan_the_first_request_opens_the_instance(who: SignedIn) -> None:
    client = TestClient(with_route(FastAPI()))
    assert client.get("/me", headers=who.headers).json() == who.user_id
    asyncio.run(get_auth().close())


@pytest.mark.usefixtures("default")
def test_open_and_close_work_in_a_custom_lifespan(start: Start, database: Database, who: SignedIn) -> None:
    connections = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'auth_middleware' AND datname = %s"
    name = database.name
    during: list[int] = []

    @asynccontextmanager
    async def own(_: FastAPI) -> AsyncGenerator[None]:
        await get_auth().open()
        during.append(database.fetch(connections, name)[0][0])
        yield
        await get_auth().close()

    assert start(with_route(FastAPI(lifespan=own))).get("/me", headers=who.headers).json() == who.user_id
    assert during == [1]


def test_closing_ends_all_connections(auth: Auth, database: Database, who: SignedIn) -> None:
    connections = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'auth_middleware' AND datname = %s"
    name = database.name
    with TestClient(guarded(auth)) as client:
        assert client.get("/required", headers=who.headers).status_code == 200
        assert database.fetch(connections, name) != [(0,)]
    wait_until(lambda: database.fetch(connections, name) == [(0,)])


def test_an_application_may_be_started_twice(auth: Auth, who: SignedIn) -> None:
    app = guarded(auth)
    for _ in range(3):
        with TestClient(app) as client:
            assert client.get("/required", headers=who.headers).json() == who.user_id


def test_an_override_of_get_auth_also_applies_to_the_lifespan(
    make_auth: MakeAuth, database: Database, start: Start, who: SignedIn
) -> None:
    app = with_route(FastAPI(lifespan=lifespan))
    app.dependency_overrides[get_auth] = make_auth
    assert start(app).get("/me", headers=who.headers).json() == who.user_id
    database.execute("ALTER TABLE session RENAME TO something_else")
    with pytest.raises(SchemaError), TestClient(app):
        pass


def test_an_override_of_get_current_user_needs_neither_database_nor_settings(start: Start) -> None:
    somebody = AuthUser(
        id="1", name="Grace", email="g@example.com", email_verified=True, image=None, created_at=None, updated_at=None
    )
    app = with_route(FastAPI())
    app.dependency_overrides[get_current_user] = lambda: somebody
    assert start(app).get("/me").json() == "1"


def test_one_instance_works_in_successive_event_loops(auth: Auth, who: SignedIn) -> None:
    async def look_up() -> str:
        identity = await auth.validate_session(who.cookie_value)
        assert identity is not None
        return identity.user.id

    assert {asyncio.run(look_up()) for _ in range(3)} == {who.user_id}


def test_a_mounted_application_is_guarded_by_its_own_instance(
    auth: Auth, make_auth: MakeAuth, start: Start, who: SignedIn
) -> None:
    outer, inner, stranger = guarded(auth), guarded(make_auth()), guarded(make_auth(secret=who.token * 2))
    outer.mount("/inner", inner)
    outer.mount("/stranger", stranger)
    client = start(outer)
    assert client.get("/required", headers=who.headers).json() == who.user_id
    assert client.get("/inner/required", headers=who.headers).json() == who.user_id
    assert client.get("/stranger/required", headers=who.headers).status_code == 401
    with client.websocket_connect("/inner/required", headers=who.headers) as socket:
        assert socket.receive_json() == who.user_id


@pytest.mark.usefixtures("default")
def test_plain_starlette_can_await_the_dependency(start: Start, who: SignedIn) -> None:
    async def me(request: Request) -> JSONResponse:
        return JSONResponse((await get_current_user(request)).model_dump(mode="json"))

    async def chained(request: Request) -> JSONResponse:
        identity = await validate_session(await get_session_from_cookie(request))
        return JSONResponse(identity.user.id if identity else None)

    routes = [Route("/me", me, methods=["GET", "POST"]), Route("/chained", chained)]
    client = start(Starlette(routes=[*routes, Mount("/mounted", routes=routes)], lifespan=lifespan))
    for path in ("/me", "/mounted/me"):
        response = client.get(path, headers=who.headers)
        assert response.json()["email"] == who.email
        refused = client.get(path)
        assert (refused.status_code, refused.text) == (401, "Not authenticated")
        assert refused.headers["www-authenticate"] == 'Cookie realm="better-auth"'
        assert client.post(path, headers=who.headers | {"Origin": "https://evil.example"}).status_code == 403
    assert client.get("/chained", headers=who.headers).json() == who.user_id
    assert client.get("/chained").json() is None


def test_several_instances_serve_one_application(make_auth: MakeAuth, start: Start, who: SignedIn) -> None:
    admins = make_auth(cookie_name="admin-session", secret=who.token * 2)
    people, closed = make_auth(), make_auth(database_url=unreachable_dsn())
    app = FastAPI()

    @app.get("/both")
    async def both(
        person: Annotated[AuthUser | None, Depends(people.optional_user)],
        admin: Annotated[AuthUser | None, Depends(admins.optional_user)],
    ) -> list[str | None]:
        return [person.id if person else None, admin.id if admin else None]

    @app.get("/closed")
    async def of_closed(user: Annotated[AuthUser, Depends(closed.current_user)]) -> str:
        return user.id

    client = start(app)
    admin_cookie = cookie(who.token, secret=who.token * 2, name="admin-session")["Cookie"]
    assert client.get("/both", headers=who.headers).json() == [who.user_id, None]
    assert client.get("/both", headers={"Cookie": admin_cookie}).json() == [None, who.user_id]
    everything = {"Cookie": f"{who.headers['Cookie']}; {admin_cookie}"}
    assert client.get("/both", headers=everything).json() == [who.user_id, who.user_id]
    assert client.get("/closed", headers=who.headers).status_code == 503
    assert (people.counters["identified"], closed.counters["identified"]) == (2, 0)


class Member(AuthUser):
    role: str | None = None


def test_a_custom_model_reads_its_own_columns_and_no_others(
    make_auth: MakeAuth, database: Database, start: Start, who: SignedIn
) -> None:
    database.execute("""ALTER TABLE "user" ADD role TEXT, ADD password_hint TEXT DEFAULT 'not read'""")
    database.execute(f"""UPDATE "user" SET role = 'editor' WHERE id = '{who.user_id}'""")
    auth = make_auth(user_model=Member)
    app = FastAPI()

    @app.get("/member")
    async def member(user: Annotated[Member, Depends(auth.current_user)]) -> Member:
        return user

    response = start(app).get("/member", headers=who.headers)
    assert response.json()["role"] == "editor"
    assert response.json().keys() == Member.model_fields.keys()


async def test_a_declared_field_without_a_column_is_a_schema_error(make_auth: MakeAuth, who: SignedIn) -> None:
    auth = make_auth(user_model=Member)
    with pytest.raises(SchemaError, match="role"):
        await auth.open()
    with pytest.raises(SchemaError, match="temporarily unavailable"):
        await auth.validate_session(who.cookie_value)


async def test_a_row_that_does_not_fit_a_declared_field_is_an_error(
    make_auth: MakeAuth, database: Database, who: SignedIn
) -> None:
    class Aged(AuthUser):
        age: int

    database.execute("""ALTER TABLE "user" ADD age INT""")
    headers = [(b"cookie", f"{COOKIE_NAME}={who.cookie_value}".encode())]
    with pytest.raises(SchemaError):
        await make_auth(user_model=Aged).optional_user(
            HTTPConnection({"type": "http", "method": "GET", "headers": headers})
        )
    database.execute("""UPDATE "user" SET age = 36""")
    identity = await make_auth(user_model=Aged).validate_session(who.cookie_value)
    assert identity is not None
    assert identity.user.age == 36
