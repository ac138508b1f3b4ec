"""FastAPI passes the request to every dependency, whatever kinds of credentials the settings list."""

import logging
import os
import subprocess
import sys
from typing import Annotated

import pytest
from fastapi import Depends, FastAPI
from starlette.testclient import TestClient

from auth_middleware import AuthSession, AuthUser
from auth_middleware.testing import AuthTestKit
from dev.cookies import SECRET
from dev.environment import without_our_settings
from tests.support.databases import Database, SignedIn

LISTS = ("cookie", "bearer", "cookie,bearer", "cookie,jwt", "bearer,jwt", "cookie,bearer,jwt")
ENVIRONMENT = """
from fastapi import Depends, FastAPI
from starlette.testclient import TestClient
import auth_middleware

app = FastAPI(lifespan=auth_middleware.lifespan)
for name in ("current_user", "optional_user", "fresh_user", "current_session", "token_claims"):
    async def route(found=Depends(getattr(auth_middleware, f"get_{name}"))): return name
    app.get(f"/{name}")(route)
with TestClient(app, headers=HEADERS) as client:
    for route in app.routes[-5:]:
        assert client.get(route.path).status_code == 200, route.path
"""


def presented(person: SignedIn, credentials: str) -> dict[str, str]:
    if "cookie" in credentials:
        return dict(person.headers)
    return {"Authorization": f"Bearer {person.cookie_value}"}


@pytest.mark.parametrize("credentials", LISTS)
def test_the_dependencies_of_an_instance(credentials: str) -> None:
    kit = AuthTestKit(credentials=credentials)
    auth, login = kit.auth, kit.login()
    app = FastAPI(lifespan=auth.lifespan)

    @app.get("/user")
    async def user(
        current: Annotated[AuthUser, Depends(auth.current_user)],
        fresh: Annotated[AuthUser, Depends(auth.fresh_user)],
        optional: Annotated[AuthUser | None, Depends(auth.optional_user)],
        session: Annotated[AuthSession, Depends(auth.current_session)],
        claims: Annotated[dict[str, str] | None, Depends(auth.token_claims)],
    ) -> bool:
        return current == fresh == optional and session.user_id == current.id and claims is None

    with TestClient(app) as client:
        assert (
            client.get("/user", headers=login.headers if "cookie" in credentials else login.bearer_headers).json()
            is True
        )
        assert client.get("/user").status_code == 401


@pytest.mark.parametrize("credentials", LISTS)
def test_the_functions_of_the_environment(database: Database, credentials: str) -> None:
    database.execute('CREATE TABLE jwks (id text, "publicKey" text, "privateKey" text, "createdAt" timestamptz)')
    headers = presented(database.sign_in(), credentials)
    settings = {
        "DATABASE_URL": database.dsn,
        "BETTER_AUTH_SECRET": SECRET,
        "BETTER_AUTH_URL": "http://auth.test",
        "AUTH_MIDDLEWARE_CREDENTIALS": credentials,
    }
    done = subprocess.run(
        [sys.executable, "-c", ENVIRONMENT.replace("HEADERS", repr(headers))],
        env={**without_our_settings(), **settings, "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_log_says_that_a_jwt_has_no_session(caplog: pytest.LogCaptureFixture) -> None:
    kit = AuthTestKit(credentials=["jwt"])
    app = FastAPI()

    @app.get("/session")
    async def session(found: Annotated[AuthSession, Depends(kit.auth.current_session)]) -> str:
        return found.id

    with caplog.at_level(logging.INFO, "auth_middleware"):
        assert TestClient(app).get("/session", headers=kit.login().jwt_headers).status_code == 401
    (record,) = [each for each in caplog.records if "a JWT has none" in each.getMessage()]
    fields = vars(record)
    assert (record.levelno, fields["reason"], fields["credential"]) == (logging.INFO, "no_session", "jwt")
    assert fields["path"] == "/session"
