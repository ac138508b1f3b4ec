"""CORS that does not fit the trusted origins is one warning, with the origins."""

import functools
import logging
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.testclient import TestClient

from tests.support.applications import without_cors
from tests.support.instances import MakeAuth

APP, ADMIN = "https://app.example.com", "https://admin.example.com:8443"


class OtherCors(CORSMiddleware):
    """An application's own subclass."""


def warnings(auth: Any, *middlewares: tuple[Any, dict[str, Any]], caplog: pytest.LogCaptureFixture) -> list[str]:
    app = without_cors(auth)
    for middleware, options in middlewares:
        app.add_middleware(middleware, **options)
    with TestClient(app) as client:
        client.get("/optional")
        client.get("/optional")
    return [record.getMessage() for record in caplog.records if "CORSMiddleware" in record.getMessage()]


LEFT_OUT: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "another origin": ((APP, ADMIN), {"allow_origins": [APP]}),
    "a slash at its end": ((ADMIN,), {"allow_origins": [f"{ADMIN}/"]}),
    "another scheme": ((ADMIN,), {"allow_origins": ["http://admin.example.com:8443"]}),
    "another port": ((ADMIN,), {"allow_origins": ["https://admin.example.com"]}),
    "no origin": ((ADMIN,), {}),
    "another pattern": ((ADMIN,), {"allow_origin_regex": r"https://.*\.example\.com"}),
    "a JSON list": ((f'["{APP}"', f' "{ADMIN}"]'), {"allow_origins": [APP]}),
}
ALLOWED: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "the same": ((APP, ADMIN), {"allow_origins": (ADMIN, APP, "https://other.example")}),
    "a pattern": ((APP, ADMIN), {"allow_origin_regex": r"https://.*\.example\.com(:\d+)?"}),
    "a wildcard in trusted_origins": (("https://*.example.com",), {"allow_origins": ["https://a.example.com"]}),
    "an app's own scheme": (("myapp://",), {"allow_origins": []}),
}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_a_trusted_origin_that_cors_does_not_allow_is_one_warning(
    make_auth: MakeAuth, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    trusted, options = LEFT_OUT[name]
    auth = make_auth(trusted_origins=trusted)
    [line] = warnings(auth, (CORSMiddleware, {**options, "allow_credentials": True}), caplog=caplog)
    assert f"contains {ADMIN}, but allow_origins" in line


@pytest.mark.parametrize("name", ALLOWED)
def test_trusted_origins_that_cors_allows_are_no_warning(
    make_auth: MakeAuth, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    trusted, options = ALLOWED[name]
    auth = make_auth(trusted_origins=trusted)
    assert warnings(auth, (CORSMiddleware, {**options, "allow_credentials": True}), caplog=caplog) == []


def test_each_of_several_middlewares_counts(make_auth: MakeAuth, caplog: pytest.LogCaptureFixture) -> None:
    first = {"allow_origins": [APP], "allow_credentials": True}
    second = functools.partial(OtherCors, allow_origins=[ADMIN], allow_credentials=True)
    auth = make_auth(trusted_origins=(APP, ADMIN))
    assert warnings(auth, (CORSMiddleware, first), (second, {}), caplog=caplog) == []


@pytest.mark.parametrize("trusted", [(), (APP,)])
def test_every_origin_with_credentials_is_one_warning(
    make_auth: MakeAuth, caplog: pytest.LogCaptureFixture, trusted: tuple[str, ...]
) -> None:
    every = {"allow_origins": ["*"], "allow_credentials": True}
    [line] = warnings(make_auth(trusted_origins=trusted), (CORSMiddleware, every), caplog=caplog)
    assert 'allow_credentials=True with allow_origins=["*"]' in line
    assert "BETTER_AUTH_TRUSTED_ORIGINS" in line


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        ({"trusted_origins": ()}, {"allow_origins": ["*"]}),
        ({"trusted_origins": (), "credentials": "bearer"}, {"allow_origins": ["*"], "allow_credentials": True}),
    ],
)
def test_every_origin_without_cookies_is_no_warning(
    make_auth: MakeAuth, caplog: pytest.LogCaptureFixture, settings: dict[str, Any], options: dict[str, Any]
) -> None:
    assert warnings(make_auth(**settings), (CORSMiddleware, options), caplog=caplog) == []


def test_the_outer_application_may_allow_it(make_auth: MakeAuth, caplog: pytest.LogCaptureFixture) -> None:
    outer = FastAPI()
    outer.add_middleware(CORSMiddleware, allow_origins=[APP], allow_credentials=True)
    outer.mount("/inner", without_cors(make_auth(trusted_origins=(APP,))))
    TestClient(outer).get("/inner/optional")
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
