"""What the auth-service does where test_services.py does not look: in production, on subdomains, a day later."""

import json
from collections.abc import Callable, Generator
from contextlib import ExitStack

import httpx
import pytest

from dev import stack
from dev.postgres import execute, fetch
from dev.processes import free_port
from tests.example.conftest import Services
from tests.example.test_services import COOKIE_NAME, request, sign_up

PRODUCTION = {
    "NODE_ENV": "production",
    "AUTH_BASE_URL": "https://auth.example.com",
    "FRONTEND_URL": "https://example.com",
}

StartService = Callable[..., str]


@pytest.fixture
def start_service(services: Services) -> Generator[StartService]:
    """Another auth-service over the same tables; keywords are variables of its environment. Gives its URL."""
    with ExitStack() as down:

        def start(**environment: str) -> str:
            port = free_port()
            settings = {**services.settings, **environment}
            service = down.enter_context(stack.auth_service(port, settings, package_dir=services.package_dir))
            url = f"http://localhost:{port}"
            service.wait_for_url(f"{url}/health")
            return url

        yield start


def sign_up_at(url: str, origin: str, email: str) -> httpx.Response:
    body = {"name": "Ada", "email": email, "password": "a good password"}
    headers = {"Origin": origin, "X-Forwarded-For": "192.0.2.1"}
    response = request("POST", f"{url}/api/auth/sign-up/email", headers=headers, body=body)
    assert response.status_code == 200, response.text
    return response


def attributes(response: httpx.Response, name: str) -> list[str]:
    """Of the cookie of that name, in lower case."""
    [header] = [header for header in response.headers.get_list("set-cookie") if header.startswith(f"{name}=")]
    return sorted(part.strip().lower() for part in header.split(";")[1:])


def test_in_production_its_cookies_are_secure_by_name_and_by_attribute(start_service: StartService) -> None:
    response = sign_up_at(start_service(**PRODUCTION), "https://example.com", "production@example.com")
    wanted = ["httponly", "max-age=604800", "path=/", "samesite=lax", "secure"]
    assert attributes(response, f"__Secure-{COOKIE_NAME}") == wanted


def test_in_production_it_does_not_start_without_https(services: Services) -> None:
    settings = {**services.settings, "NODE_ENV": "production"}
    with stack.auth_service(free_port(), settings, package_dir=services.package_dir) as service:
        assert service.wait(30) == 1
        assert "AUTH_BASE_URL is not https://, in production" in service.last_output()


def test_the_switch_shares_the_session_with_subdomains(start_service: StartService) -> None:
    url = start_service(**PRODUCTION, COOKIE_DOMAIN="example.com")
    response = sign_up_at(url, "https://example.com", "subdomain@example.com")
    assert "domain=example.com" in attributes(response, f"__Secure-{COOKIE_NAME}")


def test_the_switch_counts_attempts_in_the_rate_limit_table(services: Services, start_service: StartService) -> None:
    url = start_service(**PRODUCTION, RATE_LIMIT_TABLE="rate_limit")
    headers = {"Origin": "https://example.com", "X-Forwarded-For": "192.0.2.7"}
    body = {"email": "nobody@example.com", "password": "not a password"}
    statuses = [
        request("POST", f"{url}/api/auth/sign-in/email", headers=headers, body=body).status_code for _ in range(4)
    ]
    assert statuses == [401, 401, 401, 429]
    assert ("192.0.2.7", 3) in fetch(services.dsn, "SELECT substr(key, 1, 9), count FROM rate_limit")


@pytest.mark.parametrize(("age", "is_refreshed"), [("23 hours", False), ("25 hours", True)])
def test_a_session_is_refreshed_daily(services: Services, age: str, is_refreshed: bool) -> None:
    who = sign_up(services)
    token = who.cookie.partition("=")[2].partition(".")[0]
    execute(services.dsn, f"UPDATE session SET expires_at = expires_at - interval '{age}' WHERE token = '{token}'")
    response = request("GET", f"{services.auth_url}/api/auth/get-session", headers=who.headers)
    assert response.json()["user"]["email"] == who.email
    query = "SELECT expires_at > now() + interval '6 days 23 hours 30 minutes' FROM session WHERE token = %s"
    assert fetch(services.dsn, query, token) == [(is_refreshed,)]
    set_again = [header for header in response.headers.get_list("set-cookie") if header.startswith(COOKIE_NAME)]
    assert bool(set_again) is is_refreshed


def test_it_answers_get_and_post_and_nothing_else(services: Services) -> None:
    url = f"{services.auth_url}/api/auth/get-session"
    assert request("GET", url).status_code == 200
    for method in ("PUT", "DELETE", "PATCH"):
        assert request(method, url, headers={"Origin": services.page_url}).status_code == 404


def test_the_example_settings_are_placeholders_for_every_setting(services: Services) -> None:
    lines = (stack.AUTH_SERVICE / ".env.example").read_text().splitlines()
    settings = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert {"DATABASE_URL", "AUTH_BASE_URL", "AUTH_PORT", "BETTER_AUTH_SECRET", "FRONTEND_URL", "NODE_ENV"} <= set(
        settings
    )
    # Copied and not filled in, it says what is missing.
    with stack.auth_service(free_port(), settings, package_dir=services.package_dir) as service:
        assert service.wait(30) == 1
        assert "BETTER_AUTH_SECRET has fewer than 32 characters" in service.last_output()


def test_its_scripts_are_the_plans() -> None:
    package = json.loads((stack.AUTH_SERVICE / "package.json").read_text())
    assert package["name"] == "orchestrator-auth-service"
    assert package["scripts"] == {"dev": "tsx watch src/index.ts", "build": "tsc", "start": "node dist/index.js"}
