"""Errors as HTTP responses, for middleware of an application's own."""

from collections.abc import Awaitable, Callable

import pytest
from fastapi import FastAPI, HTTPException
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.testclient import TestClient
from starlette.types import ASGIApp

from auth_middleware import (
    AuthError,
    ConfigurationError,
    OriginRefused,
    SchemaError,
    StoreUnavailable,
    http_response,
)
from auth_middleware.testing import AuthTestKit

Start = Callable[[ASGIApp], TestClient]
PAGE = "http://page.test"
EVIL = {"Origin": "https://evil.example"}


def test_http_response_is_for_middleware_of_your_own(start: Start) -> None:
    kit = AuthTestKit(trusted_origins=[PAGE])
    auth, who = kit.auth, kit.login()

    async def guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        try:
            request.state.user = await auth.current_user(request)
        except (AuthError, HTTPException) as error:
            return http_response(error)
        return await call_next(request)

    app = FastAPI(lifespan=auth.lifespan)
    app.add_middleware(BaseHTTPMiddleware, dispatch=guard)
    app.add_middleware(CORSMiddleware, allow_origins=[PAGE], allow_credentials=True)

    @app.api_route("/me", methods=["GET", "POST"])
    async def me(request: Request) -> str:
        return request.state.user.id

    client = start(app)
    assert client.get("/me", headers=who.headers).json() == who.user.id
    with_cors = {"Origin": PAGE}
    refused = client.get("/me", headers=with_cors)
    assert (refused.status_code, refused.json()) == (401, {"detail": "Not authenticated"})
    assert refused.headers["access-control-allow-origin"] == PAGE
    assert refused.headers["www-authenticate"] == 'Cookie realm="better-auth"'
    assert client.post("/me", headers=who.headers | EVIL).status_code == 403
    with kit.outage():
        unavailable = client.get("/me", headers=who.headers | with_cors)
    assert (unavailable.status_code, unavailable.headers["retry-after"]) == (503, "1")
    assert unavailable.headers["access-control-allow-origin"] == PAGE


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (StoreUnavailable("secret details"), 503),
        (SchemaError("secret details"), 503),
        (OriginRefused("secret details"), 403),
        (ConfigurationError("secret details"), 500),
        (AuthError("secret details"), 503),
    ],
)
def test_http_response_takes_plain_errors_and_shows_nothing_of_them(error: AuthError, status: int) -> None:
    response = http_response(error)
    assert response.status_code == status
    assert b"secret" not in bytes(response.body)
    assert ("retry-after" in response.headers) == (status == 503)


def test_http_response_refuses_other_errors() -> None:
    with pytest.raises(TypeError, match="not ValueError"):
        http_response(ValueError("no error of ours"))


@pytest.mark.parametrize("status", [204, 205, 304])
def test_http_response_sends_no_body_where_http_allows_none(status: int) -> None:
    response = http_response(HTTPException(status, headers={"ETag": '"1"'}))
    assert (response.status_code, response.body) == (status, b"")
    assert response.headers["etag"] == '"1"'
    assert "content-type" not in response.headers
