"""The doctor beside real Better Auth servers: what they show, and the credentials that they issue."""

import http.server
import secrets
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from dev.better_auth import VERSIONS, BetterAuthServer, Version
from dev.postgres import EmbeddedPostgres
from dev.processes import free_port
from tests.support.doctor import Diagnosis, Doctor, doctor

__all__ = ["doctor"]

PAGE = "http://page.test"


class Pair:
    """A running server, and the variables of a backend that fits it."""

    def __init__(self, server: BetterAuthServer, dsn: str, secret: str) -> None:
        self.server = server
        self.variables = {
            "DATABASE_URL": dsn,
            "BETTER_AUTH_SECRET": secret,
            "BETTER_AUTH_URL": server.base_url,
            "AUTH_MIDDLEWARE_CREDENTIALS": "cookie,bearer,jwt",
        }

    @contextmanager
    def signed_up(self) -> Generator[httpx.Client]:
        account = {"email": f"{secrets.token_hex(6)}@example.com", "password": secrets.token_urlsafe(16), "name": "Ada"}
        origin = {"Origin": self.server.url}
        with httpx.Client(trust_env=False, base_url=self.server.url, headers=origin, timeout=60) as client:
            client.post("/api/auth/sign-up/email", json=account).raise_for_status()
            yield client

    def issue_key(self) -> None:
        """Has the server make its first key."""
        with self.signed_up() as client:
            client.get("/api/auth/token").raise_for_status()


@contextmanager
def started(postgres: EmbeddedPostgres, version: Version, **options: Any) -> Generator[Pair]:
    dsn = postgres.create_database(f"doctor_{secrets.token_hex(4)}")
    secret = secrets.token_urlsafe(32)
    with BetterAuthServer(dsn, secret=secret, version=version, jwt={}, bearer=True, **options) as server:
        yield Pair(server, dsn, secret)


@pytest.fixture(scope="module", params=VERSIONS)
def pair(request: pytest.FixtureRequest, postgres: EmbeddedPostgres) -> Generator[Pair]:
    with started(postgres, request.param, trusted_origins=[PAGE]) as pair:
        yield pair


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no .env file is."""
    monkeypatch.chdir(tmp_path)


def test_a_server_that_fits_has_no_fault(doctor: Doctor, pair: Pair) -> None:
    pair.issue_key()
    diagnosis = doctor(pair.variables, "--url", pair.server.url)
    assert diagnosis.status == 0, diagnosis.faults
    for message in (
        "is a Better Auth server, and it is healthy",
        "its origin is that of BETTER_AUTH_URL",
        "its session cookie is better-auth.session_token, as the settings expect",
        "which the API reads too",
    ):
        assert diagnosis.find("ok", message), message


def test_what_a_real_server_issues_is_accepted(doctor: Doctor, pair: Pair) -> None:
    with pair.signed_up() as client:
        cookie = client.cookies["better-auth.session_token"]
        session = client.get("/api/auth/get-session")
        header = session.request.headers["cookie"]
        token = client.get("/api/auth/token").json()["token"]
        for arguments in (
            ["--cookie", cookie],
            ["--cookie", header],
            ["--token", token],
            ["--header", f"Authorization: Bearer {token}"],
            ["--header", f"Authorization: Bearer {cookie}"],
        ):
            diagnosis = doctor(pair.variables, *arguments)
            assert diagnosis.status == 0, diagnosis.faults
            assert diagnosis.find("ok", f"it is the user {session.json()['user']['id']}")
            for printed in (diagnosis.printed, diagnosis.text):
                assert not any(
                    part in printed for part in (cookie, token, *cookie.split("."), token.rpartition(".")[2])
                )

        client.post("/api/auth/sign-out", json={}).raise_for_status()
    assert doctor(pair.variables, "--cookie", cookie).find("fault", "no session row has its token")
    assert doctor(pair.variables, "--cookie", quote(cookie)).find("fault", "encoded twice")


def wrong(doctor: Doctor, pair: Pair, variables: Mapping[str, str | None], *arguments: str) -> Diagnosis:
    return doctor({**pair.variables, **variables}, "--url", pair.server.url, *arguments)


@pytest.mark.parametrize("version", ["1.7.25"])
def test_what_differs_from_the_settings_is_named(doctor: Doctor, postgres: EmbeddedPostgres, version: Version) -> None:
    with started(postgres, version, trusted_origins=[PAGE]) as pair, started(postgres, version) as other:
        pair.issue_key()
        other.issue_key()
        database = {"DATABASE_URL": other.variables["DATABASE_URL"]}
        for variables, cause, fix in [
            ({"AUTH_MIDDLEWARE_COOKIE_PREFIX": "shop"}, "its session cookie is better-auth.", "PREFIX=better-auth"),
            ({"AUTH_MIDDLEWARE_COOKIE_NAME": "sid"}, "but the settings expect sid", "PREFIX=better-auth"),
            ({"BETTER_AUTH_URL": "https://auth.example.com"}, "settings expect __Secure-better-auth", "which is http"),
            ({"AUTH_MIDDLEWARE_SECURE_COOKIES": "1"}, "the settings expect __Secure-", "SECURE_COOKIES=false"),
            (database, "the API has read none of them", "DATABASE_URL"),
        ]:
            [finding] = wrong(doctor, pair, variables).find("fault", cause)
            assert fix in finding["fix"], finding
        [finding] = wrong(doctor, pair, {"BETTER_AUTH_URL": "http://127.0.0.1:1"}).find("note", "--url has the origin")
        assert "same value" in finding["fix"]


def test_an_https_server_is_recognised_by_its_cookies(doctor: Doctor, postgres: EmbeddedPostgres) -> None:
    with started(postgres, "1.7.25", base_url="https://auth.example.com") as pair:
        assert wrong(doctor, pair, {}).find("ok", "its session cookie is __Secure-better-auth.session_token")
        [finding] = wrong(doctor, pair, {"BETTER_AUTH_URL": "http://localhost"}).find(
            "fault", "its session cookie is __S"
        )
        assert "which is https" in finding["fix"]


def test_origins_are_compared(doctor: Doctor, pair: Pair) -> None:
    diagnosis = wrong(doctor, pair, {}, "--origin", PAGE)
    # Better Auth answers no CORS by itself.
    [finding] = diagnosis.find("warning", f"CORS does not allow pages of {PAGE}")
    assert "cors({ origin:" in finding["fix"]
    [finding] = diagnosis.find("warning", "is not trusted by the settings")
    assert "BETTER_AUTH_TRUSTED_ORIGINS" in finding["fix"]
    trusting = wrong(doctor, pair, {"BETTER_AUTH_TRUSTED_ORIGINS": PAGE}, "--origin", PAGE)
    assert not trusting.find("warning", "is not trusted by the settings")
    own = wrong(doctor, pair, {}, "--origin", pair.server.url)
    assert own.find("ok", "need no CORS")
    assert own.find("ok", f"it does not refuse a POST with a cookie from {pair.server.url}")
    assert own.find("ok", f"{pair.server.url} is trusted by the settings")


def test_what_is_no_origin_is_never_advised_to_be_trusted(doctor: Doctor, pair: Pair) -> None:
    for origin, status, cause, fix in [
        ("null", "warning", "any site can send it", "Serve the page from"),
        ("*", "fault", "a pattern", "--origin https://"),
        ("https://*.example.com", "fault", "a pattern", "--origin https://"),
        ("app.localhost:5173", "fault", "has no scheme", "--origin https://"),
        ("app.example.com", "fault", "has no scheme", "--origin https://"),
        ("http://app.localhost:5173/page", "fault", "has a path", "--origin http://app.localhost:5173"),
        ("https://app.example.com/", "fault", "has a path", "--origin https://app.example.com"),
        ("https://[::1", "fault", "not a URL", "--origin https://"),
    ]:
        diagnosis = wrong(doctor, pair, {}, f"--origin={origin}")
        [finding] = diagnosis.find(status, cause)
        assert fix in finding["fix"]
        assert not [each for each in diagnosis.findings if "trustedOrigins" in (each["fix"] or "")]
        assert not diagnosis.find("warning", "is not trusted by the settings")


def test_a_server_without_the_jwt_plugin_is_named(doctor: Doctor, postgres: EmbeddedPostgres) -> None:
    dsn = postgres.create_database(f"doctor_{secrets.token_hex(4)}")
    secret = secrets.token_urlsafe(32)
    with BetterAuthServer(dsn, secret=secret) as server:
        pair = Pair(server, dsn, secret)
        [finding] = wrong(doctor, pair, {}).find("fault", "it serves no keys")
        assert "jwt plugin" in finding["fix"]
        plain = wrong(doctor, pair, {"AUTH_MIDDLEWARE_CREDENTIALS": "cookie"})
        assert plain.status == 0, plain.faults


def test_a_url_that_leads_elsewhere_is_a_fault(doctor: Doctor, pair: Pair) -> None:
    password = "hidden-password"
    for url, cause, fix in [
        (f"http://localhost:{free_port()}", "does not respond", "Is the auth server running"),
        (f"{pair.server.url}/other/path", "so it is not a Better Auth server", "basePath"),
        (f"http://user:{password}@localhost:{free_port()}", "does not respond", "is the URL correct"),
        ("localhost:3000", "not an http or https URL", "https://"),
    ]:
        diagnosis = doctor(pair.variables, "--url", url)
        [finding] = diagnosis.find("fault", cause)
        assert fix in finding["fix"]
        assert diagnosis.status == 1
        assert password not in diagnosis.printed + diagnosis.text


class Answers(http.server.BaseHTTPRequestHandler):
    """Answers everything by a redirect, or with an error."""

    status = 302

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.send_header("Location", "https://user:hidden-password@other.example/api/auth/ok")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the standard library's
        """Prints nothing."""


@pytest.mark.parametrize(("status", "cause"), [(302, "redirects to https://other.example"), (503, "is not healthy")])
def test_a_redirect_is_not_followed_and_an_unhealthy_server_is_named(doctor: Doctor, status: int, cause: str) -> None:
    handler = type("Handler", (Answers,), {"status": status})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        diagnosis = doctor({"BETTER_AUTH_URL": "http://localhost"}, "--url", f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
        thread.join()
    assert diagnosis.find("fault", cause), diagnosis.faults
    assert "hidden-password" not in diagnosis.printed + diagnosis.text
