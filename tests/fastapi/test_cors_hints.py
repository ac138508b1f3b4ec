"""CORS that does not fit the trusted origins is one warning, with the origins."""

import functools
import logging
import re
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.testclient import TestClient

from auth_middleware.cors import _problem  # pyright: ignore[reportPrivateUsage]
from tests.support.applications import without_cors
from tests.support.instances import MakeAuth

APP, ADMIN = "https://app.example.com", "https://admin.example.com:8443"


class OtherCors(CORSMiddleware):
    """An application's own subclass."""


class OwnInit(CORSMiddleware):
    """Chooses the parameters by itself."""

    def __init__(self, app: Any, **_: Any) -> None:
        super().__init__(app, allow_origins=[APP], allow_credentials=True)


class OwnDecision(CORSMiddleware):
    def is_allowed_origin(self, origin: str) -> bool:
        return origin.endswith(".example.com")


class OfOwnDecision(OwnDecision):
    """Inherits the decision."""


class CrossOrigin(CORSMiddleware):
    """Recognised by its base, not by its name."""


class OwnCrossOrigin(OwnInit):
    """The same, with parameters of its own."""


def warnings(auth: Any, *middlewares: tuple[Any, dict[str, Any]], caplog: pytest.LogCaptureFixture) -> list[str]:
    app = without_cors(auth)
    for middleware, options in middlewares:
        app.add_middleware(middleware, **options)
    with TestClient(app) as client:
        client.get("/optional")
        client.get("/optional")
    return [record.getMessage() for record in caplog.records if "CORSMiddleware" in record.getMessage()]


def with_cors(middleware: type[CORSMiddleware], **options: Any) -> FastAPI:
    app = FastAPI()
    app.add_middleware(middleware, **options)
    return app


LEFT_OUT: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "another origin": ((APP, ADMIN), {"allow_origins": [APP]}),
    "a slash at its end": ((ADMIN,), {"allow_origins": [f"{ADMIN}/"]}),
    "another scheme": ((ADMIN,), {"allow_origins": ["http://admin.example.com:8443"]}),
    "another port": ((ADMIN,), {"allow_origins": ["https://admin.example.com"]}),
    "no origin": ((ADMIN,), {}),
    "another pattern": ((ADMIN,), {"allow_origin_regex": r"https://.*\.example\.com"}),
    "a JSON list": ((f'["{APP}"', f' "{ADMIN}"]'), {"allow_origins": [APP]}),
}
IPV6 = "http://[::1]:5173"
LEFT_OUT_AS_WRITTEN: dict[str, tuple[str, ...]] = {
    "http://[::1]": ("http://[::1]",),
    "http://[2001:db8::1]": (APP, "http://[2001:db8::1]"),
    IPV6: (f'["{IPV6}"]',),
    "https://[fe80::80]": (f'["{APP}"', ' "https://[fe80::80]"]'),
    "https://a.example:80": ("https://a.example:80",),
}
# Those that Rust warns of: no browser sends them.
UNUSUAL = (
    *("https://App.example.com", "HTTPS://app.example.com", "https://app.example.com:443", "http://app.example.com:80"),
    *(
        "http://[::1]:80",
        "http://[0:0:0:0:0:0:0:1]",
        "http://[::1",
        "http://[1::2::3]",
        "https://app.example.com:08443",
    ),
    *("https://app.example.com/", "https://b\u00fccher.example", "https://[2001:DB8::1]"),
)
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


@pytest.mark.parametrize("origin", LEFT_OUT_AS_WRITTEN)
def test_an_origin_is_shown_whole(make_auth: MakeAuth, caplog: pytest.LogCaptureFixture, origin: str) -> None:
    cors = {"allow_origins": [APP], "allow_credentials": True}
    [line] = warnings(make_auth(trusted_origins=LEFT_OUT_AS_WRITTEN[origin]), (CORSMiddleware, cors), caplog=caplog)
    assert f"contains {origin}, but allow_origins" in line
    caplog.clear()
    cors["allow_origins"] = [APP, origin]
    assert not warnings(make_auth(trusted_origins=LEFT_OUT_AS_WRITTEN[origin]), (CORSMiddleware, cors), caplog=caplog)


@pytest.mark.parametrize("origin", UNUSUAL)
def test_origins_that_no_browser_sends_are_not_judged(origin: str) -> None:
    assert _problem([with_cors(CORSMiddleware, allow_origins=[APP], allow_credentials=True)], (APP, origin)) is None


@pytest.mark.parametrize("middleware", [OwnInit, OwnDecision, OfOwnDecision, OwnCrossOrigin])
def test_a_subclass_that_decides_by_itself_is_no_warning(
    make_auth: MakeAuth, caplog: pytest.LogCaptureFixture, middleware: type[CORSMiddleware]
) -> None:
    assert warnings(make_auth(trusted_origins=(APP, ADMIN)), (middleware, {}), caplog=caplog) == []
    assert _problem([with_cors(middleware, allow_origins=["*"], allow_credentials=True)], ()) is None


def test_a_subclass_is_recognised_without_its_name(make_auth: MakeAuth, caplog: pytest.LogCaptureFixture) -> None:
    both = {"allow_origins": [APP, ADMIN], "allow_credentials": True}
    auth = make_auth(trusted_origins=(APP, ADMIN))
    assert warnings(auth, (CrossOrigin, both), caplog=caplog) == []
    auth = make_auth(trusted_origins=(APP, ADMIN))
    [line] = warnings(auth, (CrossOrigin, {**both, "allow_origins": [APP]}), caplog=caplog)
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


EVERY_SITE = (
    ".*",
    ".+",
    r"https?://.*",
    r"^https?://[^/]+$",
    r"https://.*",
    r"http://.*:\d+",
    r"(?i).*",
    re.compile(".*"),
)
SOME_SITES = (
    *(r"https://.*\.example\.com", r"https?://localhost(:\d+)?", r"https://(app|admin)\.example\.com(:8443)?", ""),
    *(r".*example\.com(:8443)?", r"https?://(127\.0\.0\.1|\[::1\]):\d+"),
)


@pytest.mark.parametrize("pattern", EVERY_SITE)
@pytest.mark.parametrize("trusted", [(), (APP,)])
def test_a_pattern_for_every_site_with_credentials_is_one_warning(
    make_auth: MakeAuth, caplog: pytest.LogCaptureFixture, trusted: tuple[str, ...], pattern: Any
) -> None:
    every = {"allow_origin_regex": pattern, "allow_credentials": True}
    [line] = warnings(make_auth(trusted_origins=trusted), (CORSMiddleware, every), caplog=caplog)
    assert "allow_credentials=True with an allow_origin_regex that matches every site" in line
    caplog.clear()
    without = {"allow_origin_regex": pattern}
    assert warnings(make_auth(trusted_origins=()), (CORSMiddleware, without), caplog=caplog) == []


@pytest.mark.parametrize("pattern", SOME_SITES)
def test_a_pattern_for_some_sites_is_no_warning(
    make_auth: MakeAuth, caplog: pytest.LogCaptureFixture, pattern: str
) -> None:
    some = {"allow_origins": [APP], "allow_origin_regex": pattern, "allow_credentials": True}
    assert warnings(make_auth(trusted_origins=(APP,)), (CORSMiddleware, some), caplog=caplog) == []


@pytest.mark.parametrize("pattern", ["(", "*", b".*", 7])
def test_a_pattern_that_cannot_be_evaluated_is_not_judged(pattern: Any) -> None:
    app = with_cors(CORSMiddleware, allow_origins=[], allow_origin_regex=pattern, allow_credentials=True)
    assert _problem([app], ()) is None


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
