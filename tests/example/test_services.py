"""The auth-service and the backend, over real HTTP and sockets, at both Better Auth versions."""

import asyncio
import json
import secrets
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from http.cookiejar import CookieJar
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import Request

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from dev import stack
from dev.postgres import execute, fetch
from dev.processes import free_port
from tests.example.conftest import NEWEST, OLDEST, Services, installed_version

HOSTILE = "https://evil.example"
COOKIE_NAME = "better-auth.session_token"


class Visitor(NamedTuple):
    email: str
    password: str
    cookie: str  # `name=value`, as a browser sends it
    set_cookies: dict[str, str]  # name to the whole header

    @property
    def headers(self) -> dict[str, str]:
        return {"Cookie": self.cookie}


def request(method: str, url: str, *, headers: Mapping[str, str] | None = None, body: object = None) -> httpx.Response:
    # Without a client, which would keep cookies, and without the machine's proxy.
    return httpx.request(method, url, headers=headers, json=body, timeout=30, trust_env=False)


def post(services: Services, path: str, body: object, **headers: str) -> httpx.Response:
    sent = {"Origin": services.page_url, **headers}
    return request("POST", f"{services.auth_url}/api/auth{path}", headers=sent, body=body)


def sign_up(services: Services) -> Visitor:
    email, password = f"ada-{secrets.token_hex(4)}@example.com", secrets.token_urlsafe(16)
    response = post(services, "/sign-up/email", {"name": "Ada", "email": email, "password": password})
    assert response.status_code == 200, response.text
    return visitor(response, email, password)


def visitor(response: httpx.Response, email: str, password: str) -> Visitor:
    set_cookies = {header.partition("=")[0]: header for header in response.headers.get_list("set-cookie")}
    return Visitor(email, password, set_cookies[COOKIE_NAME].partition(";")[0], set_cookies)


def me(services: Services, **headers: str) -> httpx.Response:
    return request("GET", f"{services.api_url}/api/me", headers=headers)


def socket(services: Services, **headers: str) -> connect:
    return connect(services.socket_url, additional_headers=headers, proxy=None)


async def refusal(services: Services, **headers: str) -> int:
    with pytest.raises(InvalidStatus) as refused:
        await socket(services, **headers)
    return refused.value.response.status_code


async def event(connection: ClientConnection) -> dict[str, Any]:
    return json.loads(await asyncio.wait_for(connection.recv(), 10))


async def events(connection: ClientConnection, count: int) -> None:
    for _ in range(count):
        await event(connection)


def test_the_versions_are_the_oldest_and_the_newest_of_the_range(services: Services) -> None:
    assert installed_version(services.package_dir) == services.version
    assert services.version in (OLDEST, NEWEST)


def test_both_services_say_that_they_are_healthy(services: Services) -> None:
    for url in (services.auth_url, services.api_url):
        response = request("GET", f"{url}/health")
        assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_a_sign_up_sets_the_cookie_that_the_plan_asks_for(services: Services) -> None:
    who = sign_up(services)
    attributes = [part.strip().lower() for part in who.set_cookies[COOKIE_NAME].split(";")[1:]]
    assert sorted(attributes) == ["httponly", "max-age=604800", "path=/", "samesite=lax"]
    assert "max-age=300" in who.set_cookies["better-auth.session_data"].lower()


def test_what_better_auth_writes_is_in_the_tables_of_the_migration(services: Services) -> None:
    who = sign_up(services)
    query = """SELECT u.name, u.email_verified, a.provider_id, a.user_id = u.id, s.user_id = u.id,
                      round(extract(epoch FROM s.expires_at - s.created_at) / 86400)::int
               FROM "user" AS u, account AS a, session AS s
               WHERE u.email = %s AND a.user_id = u.id AND s.user_id = u.id"""
    assert fetch(services.dsn, query, who.email) == [("Ada", False, "credential", True, True, 7)]


def test_the_backend_knows_who_signed_up_at_the_auth_service(services: Services) -> None:
    who = sign_up(services)
    response = me(services, **who.headers)
    assert response.status_code == 200
    user = response.json()["user"]
    assert (user["email"], user["name"]) == (who.email, "Ada")
    assert "token" not in response.text


def test_the_backend_reports_the_credential_and_the_age_of_the_session(services: Services) -> None:
    who = sign_up(services)
    response = me(services, **who.headers).json()
    assert response["credential"] == "cookie"
    query = """SELECT s.id, s.created_at, s.expires_at FROM session AS s JOIN "user" AS u ON u.id = s.user_id
               WHERE u.email = %s"""
    [(session_id, created_at, expires_at)] = fetch(services.dsn, query, who.email)
    reported = response["session"]
    assert reported["id"] == session_id
    assert datetime.fromisoformat(reported["created_at"]) == created_at
    assert datetime.fromisoformat(reported["expires_at"]) == expires_at


def test_nobody_and_a_forger_are_refused(services: Services) -> None:
    nobody = me(services)
    assert (nobody.status_code, nobody.json()) == (401, {"detail": "Not authenticated"})
    assert nobody.headers["www-authenticate"] == 'Cookie realm="better-auth"'
    token = sign_up(services).cookie.partition("=")[2].partition(".")[0]
    forged = me(services, Cookie=f"{COOKIE_NAME}={token}.{'A' * 43}%3D")
    assert (forged.status_code, forged.json()) == (401, {"detail": "Invalid or expired session"})


def test_the_optional_route_greets_strangers_too(services: Services) -> None:
    url = f"{services.api_url}/get_orchestrator"
    assert request("GET", url).json() == {"message": "Hello, stranger!", "signed_in": False}
    known = request("GET", url, headers=sign_up(services).headers)
    assert known.json() == {"message": "Hello, Ada!", "signed_in": True}
    forged = request("GET", url, headers={"Cookie": f"{COOKIE_NAME}=made.up"})
    assert (forged.status_code, forged.json()["signed_in"]) == (200, False)


async def test_the_socket_pushes_what_really_happens_every_second(services: Services) -> None:
    who = sign_up(services)
    async with socket(services, Origin=services.page_url, **who.headers) as first:
        before = await event(first)
        began = time.monotonic()
        async with socket(services, Origin=services.page_url, **who.headers) as second:
            await event(second)
            request("GET", f"{services.api_url}/get_orchestrator")
            while (after := await event(first))["greetings"] == before["greetings"]:
                pass
            assert time.monotonic() - began > 0.5
    assert before["for"] == "Ada"
    assert len(before["load_average"]) == 3
    assert all(isinstance(load, float) and load >= 0 for load in before["load_average"])
    assert after["open_sockets"] == before["open_sockets"] + 1
    assert after["greetings"] == before["greetings"] + 1
    assert after["pushes"] >= before["pushes"] + 2
    assert after["uptime_seconds"] > before["uptime_seconds"]


async def test_a_socket_is_refused_with_a_real_status(services: Services) -> None:
    who = sign_up(services)
    assert await refusal(services) == 401
    assert await refusal(services, Origin=services.page_url) == 401
    assert await refusal(services, Origin=services.page_url, Cookie=f"{COOKIE_NAME}=made.up") == 401
    for origin in (HOSTILE, "null", f"{services.page_url}.evil.example", services.page_url.replace("http", "https")):
        assert await refusal(services, Origin=origin, **who.headers) == 403, origin


async def test_a_refused_socket_leaves_no_error_in_the_log(
    services: Services, start_backend: Callable[..., Services]
) -> None:
    backend = start_backend()
    assert await refusal(backend, Origin=backend.page_url) == 401
    assert await refusal(backend, Origin=HOSTILE, **sign_up(services).headers) == 403
    backend.backend.stop()
    assert "handshake" not in backend.backend.last_output()


async def test_a_sign_out_ends_it_everywhere_at_once(services: Services) -> None:
    who = sign_up(services)
    assert me(services, **who.headers).status_code == 200
    assert post(services, "/sign-out", {}, **who.headers).status_code == 200
    assert me(services, **who.headers).status_code == 401
    assert await refusal(services, Origin=services.page_url, **who.headers) == 401
    session = request("GET", f"{services.auth_url}/api/auth/get-session", headers=who.headers)
    assert (session.status_code, session.json()) == (200, None)


ENDS = {
    "signed out": None,
    "session deleted": """DELETE FROM session USING "user" AS u WHERE u.id = user_id AND u.email = '{email}'""",
    "user deleted": """DELETE FROM "user" WHERE email = '{email}'""",
    "session expired": """UPDATE session SET expires_at = now() FROM "user" AS u
                          WHERE u.id = user_id AND u.email = '{email}'""",
}


@pytest.mark.parametrize("end", ENDS)
async def test_an_open_socket_is_closed_when_its_session_ends(services: Services, end: str) -> None:
    who, other = sign_up(services), sign_up(services)
    async with (
        socket(services, Origin=services.page_url, **who.headers) as connection,
        socket(services, Origin=services.page_url, **other.headers) as of_another_user,
    ):
        await event(connection)
        if statement := ENDS[end]:
            execute(services.dsn, statement.format(email=who.email))
        else:
            assert post(services, "/sign-out", {}, **who.headers).status_code == 200
        with pytest.raises(ConnectionClosedError) as closed:
            await events(connection, 30)
        assert closed.value.rcvd
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "session ended")
        assert (await event(of_another_user))["for"] == "Ada"


async def test_an_open_socket_survives_an_outage_of_the_database_and_a_refreshed_session(
    services: Services, start_backend: Callable[..., Services]
) -> None:
    who = sign_up(services)
    role = f"reader_{secrets.token_hex(4)}"
    execute(services.dsn, f"CREATE ROLE {role} LOGIN PASSWORD '{role}'; GRANT pg_read_all_data TO {role}")
    parts = urlsplit(services.dsn)
    address = f"{parts.hostname}:{parts.port}"
    backend = start_backend(DATABASE_URL=parts._replace(netloc=f"{role}:{role}@{address}").geturl())
    async with socket(backend, Origin=backend.page_url, **who.headers) as connection:
        await event(connection)
        execute(services.dsn, f"ALTER ROLE {role} NOLOGIN")
        execute(services.dsn, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'")
        await events(connection, 3)
        assert me(backend, **who.headers).status_code == 503
        execute(services.dsn, f"ALTER ROLE {role} LOGIN")
        execute(services.dsn, "UPDATE session SET expires_at = expires_at + interval '1 day', updated_at = now()")
        await events(connection, 3)


def test_signing_in_again_needs_the_right_password(services: Services) -> None:
    who = sign_up(services)
    wrong = post(services, "/sign-in/email", {"email": who.email, "password": "not the password"})
    assert wrong.status_code == 401
    right = post(services, "/sign-in/email", {"email": who.email.upper(), "password": who.password})
    assert right.status_code == 200
    assert me(services, **visitor(right, who.email, who.password).headers).status_code == 200


def test_an_address_can_be_taken_only_once(services: Services) -> None:
    who = sign_up(services)
    again = post(services, "/sign-up/email", {"name": "Eve", "email": who.email, "password": "another password"})
    assert again.status_code == 422
    assert again.json()["code"].startswith("USER_ALREADY_EXISTS")


@pytest.mark.parametrize("service", ["auth", "backend"])
def test_the_frontend_may_ask_and_read_with_credentials_and_nobody_else(services: Services, service: str) -> None:
    url = f"{services.auth_url}/api/auth/get-session" if service == "auth" else f"{services.api_url}/api/me"
    preflight = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "content-type"}
    for method, headers in (("OPTIONS", preflight), ("GET", {}), ("GET", sign_up(services).headers)):
        ours = request(method, url, headers={"Origin": services.page_url, **headers})
        assert ours.headers["access-control-allow-origin"] == services.page_url
        assert ours.headers["access-control-allow-credentials"] == "true"
        assert "origin" in ours.headers["vary"].lower()
        for origin in (HOSTILE, services.page_url.replace("localhost", "127.0.0.1")):
            theirs = request(method, url, headers={"Origin": origin, **headers})
            assert "access-control-allow-origin" not in theirs.headers, origin


def test_a_hostile_page_cannot_sign_anybody_out(services: Services) -> None:
    who = sign_up(services)
    assert post(services, "/sign-out", {}, **who.headers, Origin=HOSTILE).status_code == 403
    assert me(services, **who.headers).status_code == 200


async def test_anonymous_visitors_may_listen_only_where_the_switch_is_on(
    services: Services, start_backend: Callable[..., Services]
) -> None:
    who = sign_up(services)
    for value in ("", "0"):
        assert await refusal(start_backend(ALLOW_ANONYMOUS_WS=value), Origin=services.page_url) == 401
    open_to_all = start_backend(ALLOW_ANONYMOUS_WS="1")
    for headers, name in (({}, None), (who.headers, "Ada"), ({"Cookie": f"{COOKIE_NAME}=made.up"}, None)):
        async with socket(open_to_all, Origin=services.page_url, **headers) as connection:
            pushed = await event(connection)
        assert (pushed["for"], len(pushed["load_average"])) == (name, 3)
    # No browser, no origin: a program of the operator's own.
    async with socket(open_to_all) as connection:
        assert (await event(connection))["for"] is None
    assert await refusal(open_to_all, Origin=HOSTILE) == 403
    assert await refusal(open_to_all, Origin=HOSTILE, **who.headers) == 403
    # The switch is for the stream alone.
    assert me(open_to_all).status_code == 401


def test_a_cookie_of_localhost_is_for_every_port_of_localhost_and_not_for_127_0_0_1(services: Services) -> None:
    jar = CookieJar()
    response = post(
        services,
        "/sign-up/email",
        {"name": "Ada", "email": f"{secrets.token_hex(4)}@example.com", "password": "a good password"},
    )
    httpx.Cookies(jar).extract_cookies(response)
    for host, sent in (("localhost", True), ("127.0.0.1", False)):
        asked = Request(f"http://{host}:{free_port()}/api/me")
        jar.add_cookie_header(asked)
        assert asked.has_header("Cookie") is sent


def test_the_backends_log_explains_it_once_when_somebody_uses_another_host_name(
    start_backend: Callable[..., Services],
) -> None:
    backend = start_backend()
    assert me(backend, Origin=backend.page_url).status_code == 401
    assert "cookies belong to a host" not in backend.backend.last_output()
    for _ in range(2):
        url = backend.api_url.replace("localhost", "127.0.0.1")
        assert request("GET", f"{url}/api/me", headers={"Origin": backend.page_url}).status_code == 401
    deadline = time.monotonic() + 10
    while "cookies belong to a host" not in backend.backend.last_output() and time.monotonic() < deadline:
        time.sleep(0.02)
    [line] = [line for line in backend.backend.last_output().splitlines() if "belong to a host" in line]
    assert "127.0.0.1 instead of localhost" in line


async def test_a_slash_after_the_pages_address_changes_nothing(
    services: Services, start_backend: Callable[..., Services]
) -> None:
    who = sign_up(services)
    backend = start_backend(FRONTEND_URL=f"{services.page_url}/ , https://example.com/")
    response = me(backend, Origin=services.page_url, **who.headers)
    assert response.headers["access-control-allow-origin"] == services.page_url
    async with socket(backend, Origin=services.page_url, **who.headers) as connection:
        assert (await event(connection))["for"] == "Ada"
    assert await refusal(backend, Origin=HOSTILE, **who.headers) == 403


@pytest.mark.parametrize(
    "secret",
    ["short", "better-auth-secret-12345678901234567890", f'"{"0123456789abcdef" * 2}"', f"{'0123456789abcdef' * 2}\n"],
)
def test_the_backend_refuses_the_secrets_that_the_auth_service_refuses(services: Services, secret: str) -> None:
    with stack.backend(free_port(), {**services.settings, "BETTER_AUTH_SECRET": secret}) as backend:
        assert backend.wait(30) == 3
        assert "ConfigurationError: BETTER_AUTH_SECRET" in backend.last_output()
        assert secret not in backend.last_output()


def test_the_auth_service_names_every_setting_that_is_missing(services: Services) -> None:
    settings = {"BETTER_AUTH_SECRET": "short", "FRONTEND_URL": "localhost:5175"}
    with stack.auth_service(free_port(), settings, package_dir=services.package_dir) as process:
        assert process.wait(30) == 1
    said = process.last_output()
    assert all(
        mistake in said
        for mistake in ("DATABASE_URL is not set", "AUTH_BASE_URL is not set", "fewer than 32", "FRONTEND_URL is not")
    )
