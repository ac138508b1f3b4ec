"""The contents of /openapi.json, and the dependencies' signatures."""

import inspect
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from starlette.requests import HTTPConnection
from starlette.testclient import TestClient

from auth_middleware import (
    SESSION_COOKIE_NAME,
    AuthUser,
    get_auth,
    get_current_session,
    get_current_user,
    get_optional_user,
    validate_session,
    validate_websocket,
)
from auth_middleware.testing import AuthTestKit
from tests.support.applications import CurrentSession, CurrentUser, OptionalUser

SCHEME = "Better Auth session"


def documented(app: FastAPI) -> dict[str, Any]:
    return TestClient(app).get("/openapi.json").raise_for_status().json()


def test_the_security_scheme_and_the_cookie_name_are_documented() -> None:
    app = FastAPI()

    @app.get("/required")
    async def required(user: CurrentUser) -> str:
        return user.id

    @app.post("/optional")
    async def optional(user: OptionalUser) -> str | None:
        return user.id if user else None

    document = documented(app)
    assert document["components"]["securitySchemes"] == {
        SCHEME: {"type": "apiKey", "in": "cookie", "name": SESSION_COOKIE_NAME}
    }
    # A dependency adds a security scheme, but no parameter and no body.
    for operation in (document["paths"]["/required"]["get"], document["paths"]["/optional"]["post"]):
        assert operation["security"] == [{SCHEME: []}]
        assert not {"parameters", "requestBody"} & operation.keys()


def test_a_public_route_has_no_security_scheme() -> None:
    app = FastAPI()

    @app.get("/open")
    async def everybody() -> None: ...

    @app.get("/closed")
    async def one(user: CurrentUser, session: CurrentSession, optional: OptionalUser) -> list[bool]:
        return [bool(user), bool(session), bool(optional)]

    paths = documented(app)["paths"]
    assert "security" not in paths["/open"]["get"]
    assert paths["/closed"]["get"]["security"] == [{SCHEME: []}]


def test_an_instance_documents_its_own_cookie_name() -> None:
    auth = AuthTestKit(base_url="https://auth.test", cookie_prefix="shop").auth
    app = FastAPI()

    @app.get("/me")
    async def me(user: Annotated[AuthUser, Depends(auth.current_user)]) -> str:
        return user.id

    [scheme] = documented(app)["components"]["securitySchemes"].values()
    assert scheme["name"] == auth.cookie_name == "__Secure-shop.session_token"


def test_documentation_needs_no_settings(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("DATABASE_URL", raising=False)
    app = FastAPI()

    @app.get("/me")
    async def me(user: CurrentUser) -> AuthUser:
        return user

    schemas = documented(app)["components"]["schemas"]
    assert set(schemas["AuthUser"]["properties"]) == set(AuthUser.model_fields)


def test_each_dependency_has_exactly_one_parameter_and_no_default(auth_kit: AuthTestKit) -> None:
    auth = auth_kit.auth
    of_the_module = (get_current_user, get_optional_user, get_current_session)
    of_an_instance = (auth.current_user, auth.optional_user, auth.current_session)
    for dependency in (*of_the_module, *of_an_instance):
        assert inspect.iscoroutinefunction(dependency)
        [parameter] = inspect.signature(dependency).parameters.values()
        assert parameter.annotation in (HTTPConnection, "HTTPConnection")
        assert parameter.default is inspect.Parameter.empty
    for validator in (validate_session, validate_websocket):
        assert inspect.iscoroutinefunction(validator)
    assert not inspect.signature(get_auth).parameters
