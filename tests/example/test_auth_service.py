"""What the auth-service does where test_services.py does not look: in production, on subdomains, a day later."""

import base64
import json
import secrets
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack

import httpx
import pytest

from dev import stack
from dev.postgres import EmbeddedPostgres, execute, fetch
from dev.processes import free_port
from tests.example.conftest import Services
from tests.example.test_services import COOKIE_NAME, post, request, sign_up

PRODUCTION = {
    "NODE_ENV": "production",
    "AUTH_BASE_URL": "https://auth.example.com",
    "FRONTEND_URL": "https://example.com",
    "TRUSTED_PROXIES": "1",
    # Nobody listens there: test_accounts.py is about mail.
    "SMTP_URL": "smtp://127.0.0.1:9",
    "MAIL_FROM": "no-reply@example.com",
    "REQUIRE_EMAIL_VERIFICATION": "false",
}

# Between clientAddress.ts and Better Auth.
OUR_HEADER = "X-Resolved-Client-Address"

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


def sign_up_at(url: str, origin: str, email: str, forwarded_for: str = "192.0.2.1") -> httpx.Response:
    body = {"name": "Ada", "email": email, "password": "a good password"}
    headers = {"Origin": origin, "X-Forwarded-For": forwarded_for}
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


def attempt(url: str, headers: Sequence[tuple[str, str]]) -> int:
    """A sign-in with a wrong password; its status."""
    body = {"email": "nobody@example.com", "password": "not a password"}
    sent = [("Origin", "https://example.com"), *headers]
    return httpx.post(f"{url}/api/auth/sign-in/email", headers=sent, json=body, trust_env=False).status_code


def limited_after(url: str, *attempts: tuple[str, str]) -> int:
    """How many attempts got through until one was refused for their number; all of them: nobody was limited."""
    for count, header in enumerate(attempts):
        if attempt(url, [header]) == 429:
            return count
    return len(attempts)


def forwarded(*addresses: str) -> list[tuple[str, str]]:
    return [("X-Forwarded-For", address) for address in addresses]


TRUSTED_PROXIES = {
    "1": [
        # Made up in front of what the proxy appended.
        (3, forwarded(*[f"198.51.100.{n}, 192.0.2.1" for n in range(4)])),
        # With a port, or in IPv6's spelling.
        (3, forwarded("192.0.2.2", "192.0.2.2:81", "x, 192.0.2.2:82", ",[::ffff:192.0.2.2]:83")),
        # One customer's network, and the networks of five.
        (3, forwarded("2001:db8::1", "2001:DB8:0::2", "[2001:db8::3]:1", "2001:db8:0:0:9::")),
        (5, forwarded(*[f"2001:db8:0:{n}::1" for n in range(1, 6)])),
        # Not what a proxy writes.
        (3, forwarded("unknown", "192.0.2.1, _hidden", "1.2.3.4.5", "")),
        # People behind one proxy.
        (5, forwarded(*[f"198.51.100.1, 192.0.2.{n}" for n in range(10, 15)])),
    ],
    "2": [
        (3, forwarded(*[f"198.51.100.{n}, 192.0.2.1, 10.0.0.1" for n in range(4)])),
        (3, forwarded(*[f"198.51.100.{n}, not-an-address, 10.0.0.1" for n in range(4)])),
        (5, forwarded(*[f"198.51.100.1, 192.0.2.{n}, 10.0.0.1" for n in range(10, 15)])),
    ],
    "0": [
        # Nobody is believed, in our own header neither.
        (3, [*forwarded("198.51.100.1", "198.51.100.2"), *[(OUR_HEADER, f"198.51.100.{n}") for n in range(2)]]),
    ],
}
CLIENT_ADDRESS_HEADER = {
    "X-Real-IP": [
        (3, [("x-real-ip", "192.0.2.1")] * 4),
        (3, [*forwarded("198.51.100.1"), *[("X-Real-IP", f"198.51.100.{n}, 192.0.2.1") for n in range(3)]]),
        (5, [("X-Real-IP", f"192.0.2.{n}") for n in range(10, 15)]),
    ],
}


@pytest.mark.parametrize(
    ("name", "value", "series"),
    [
        *(("TRUSTED_PROXIES", value, series) for value, series in TRUSTED_PROXIES.items()),
        *(("CLIENT_ADDRESS_HEADER", value, series) for value, series in CLIENT_ADDRESS_HEADER.items()),
    ],
)
def test_a_made_up_address_gets_no_fresh_limit_and_nobody_shares_one(
    services: Services,
    start_service: StartService,
    name: str,
    value: str,
    series: list[tuple[int, list[tuple[str, str]]]],
) -> None:
    url = start_service(**{**PRODUCTION, "TRUSTED_PROXIES": "", name: value})
    execute(services.dsn, "TRUNCATE rate_limit")
    for passed, attempts in series:
        assert limited_after(url, *attempts) == passed, attempts


def test_a_session_records_the_address_that_attempts_are_counted_by(
    services: Services, start_service: StartService
) -> None:
    url = start_service(**PRODUCTION)
    response = sign_up_at(url, "https://example.com", "address@example.com", forwarded_for="evil, 198.51.100.9")
    query = "SELECT ip_address FROM session WHERE token = %s"
    assert fetch(services.dsn, query, response.json()["token"]) == [("198.51.100.9",)]


@pytest.mark.parametrize(
    ("settings", "mistake"),
    [
        ({}, "neither TRUSTED_PROXIES (the number of proxies"),
        ({"TRUSTED_PROXIES": "1", "CLIENT_ADDRESS_HEADER": "x-real-ip"}, "are both set: set one of them"),
        ({"TRUSTED_PROXIES": "-1"}, "TRUSTED_PROXIES is not a number of proxies: -1"),
        ({"TRUSTED_PROXIES": "10.0.0.0/8"}, "TRUSTED_PROXIES is not a number of proxies: 10.0.0.0/8"),
        ({"TRUSTED_PROXIES": "true"}, "TRUSTED_PROXIES is not a number of proxies: true"),
        ({"CLIENT_ADDRESS_HEADER": "x real ip"}, "is not the name of a header"),
        ({"CLIENT_ADDRESS_HEADER": "X-Forwarded-For"}, "set TRUSTED_PROXIES instead"),
    ],
)
def test_production_says_whose_attempts_are_counted_together(
    services: Services, settings: dict[str, str], mistake: str
) -> None:
    environment = {**services.settings, **PRODUCTION, "TRUSTED_PROXIES": "", **settings}
    with stack.auth_service(free_port(), environment, package_dir=services.package_dir) as service:
        assert service.wait(30) == 1
        assert mistake in service.last_output()


def test_in_development_the_connection_says_whose_attempts_they_are(services: Services) -> None:
    assert "TRUSTED_PROXIES" not in services.settings
    response = post(
        services, "/sign-up/email", {"name": "Ada", "email": "here@example.com", "password": "a good password"}
    )
    query = "SELECT ip_address FROM session WHERE token = %s"
    assert fetch(services.dsn, query, response.json()["token"]) == [("127.0.0.1",)]


def test_host_is_the_address_that_is_listened_on(services: Services) -> None:
    port = free_port()
    settings = {**services.settings, "HOST": "127.0.0.2"}
    with stack.auth_service(port, settings, package_dir=services.package_dir) as service:
        service.wait_for_url(f"http://127.0.0.2:{port}/health")
        with pytest.raises(httpx.ConnectError):
            request("GET", f"http://127.0.0.1:{port}/health")


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
    assert {"DATABASE_URL", "AUTH_BASE_URL", "AUTH_PORT", "HOST", "TRUSTED_PROXIES"} <= set(settings)
    assert {"CLIENT_ADDRESS_HEADER", "BETTER_AUTH_SECRET", "FRONTEND_URL", "NODE_ENV"} <= set(settings)
    # Copied and not filled in, it says what is missing.
    with stack.auth_service(free_port(), settings, package_dir=services.package_dir) as service:
        assert service.wait(30) == 1
        assert "BETTER_AUTH_SECRET is not set" in service.last_output()


SOUND = "0123456789abcdefghijklmnopqrstuv"


@pytest.mark.parametrize(
    ("settings", "mistake"),
    [
        ({"BETTER_AUTH_SECRET": SOUND[1:]}, "fewer than 32 characters"),
        ({"BETTER_AUTH_SECRET": "better-auth-secret-12345678901234567890"}, "public default"),
        *(
            ({"BETTER_AUTH_SECRET": form}, "in quotes")
            for form in (f'"{SOUND}"', f"'{SOUND}'", f" {SOUND}", f"{SOUND}\n")
        ),
        ({"FRONTEND_URL": "https://example.com,http://www.example.com"}, "not https://, in production"),
        ({"SMTP_URL": ""}, "SMTP_URL is not set, in production"),
        ({"SMTP_URL": "mail.example.com:hunter2"}, "SMTP_URL is not an smtp:// or smtps:// URL"),
        ({"MAIL_FROM": ""}, "MAIL_FROM is not set"),
        ({"REQUIRE_EMAIL_VERIFICATION": "no"}, "neither true nor false: no"),
        ({"RATE_LIMIT_TABLE": "nowhere"}, 'relation "nowhere" does not exist'),
    ],
)
def test_in_production_it_does_not_start_with_a_mistake(
    services: Services, settings: dict[str, str], mistake: str
) -> None:
    environment = {**services.settings, **PRODUCTION, **settings}
    with stack.auth_service(free_port(), environment, package_dir=services.package_dir) as service:
        assert service.wait(30) == 1
        assert mistake in service.last_output()
        assert SOUND not in service.last_output()
        assert "hunter2" not in service.last_output()


def test_its_scripts_are_the_plans() -> None:
    package = json.loads((stack.AUTH_SERVICE / "package.json").read_text())
    assert package["name"] == "orchestrator-auth-service"
    assert package["scripts"] == {"dev": "tsx watch src/index.ts", "build": "tsc", "start": "node dist/index.js"}


def test_it_issues_tokens_where_the_switch_is_on(
    services: Services, start_service: StartService, postgres: EmbeddedPostgres
) -> None:
    assert httpx.get(f"{services.auth_url}/api/auth/jwks", trust_env=False).status_code == 404
    dsn = postgres.create_database(f"issuer_{secrets.token_hex(4)}")
    settings = {"DATABASE_URL": dsn, "ISSUE_JWT": "true"}
    stack.migrate(dsn, "tables")
    with stack.auth_service(
        free_port(), {**services.settings, **settings}, package_dir=services.package_dir
    ) as service:
        assert service.wait(30) == 1
        assert "Apply the migration: python -m auth_middleware migrate jwks" in service.last_output()
    stack.migrate(dsn, "jwks")
    url = start_service(**settings)
    with httpx.Client(trust_env=False, headers={"Origin": services.page_url}) as client:
        account = {"name": "Ada", "email": "ada@example.com", "password": "seventeen quiet lanterns"}
        client.post(f"{url}/api/auth/sign-up/email", json=account).raise_for_status()
        response = client.get(f"{url}/api/auth/token").raise_for_status()
        assert response.headers["access-control-allow-origin"] == services.page_url
        # Signed when it is asked for, not with each look at the session.
        assert "set-auth-jwt" not in client.get(f"{url}/api/auth/get-session").headers
    [(identifier, is_private)] = fetch(dsn, "SELECT id, private_key LIKE '%%\"d\"%%' FROM jwks")
    assert not is_private, "the private key is encrypted"
    header = response.json()["token"].split(".", maxsplit=1)[0]
    assert json.loads(base64.urlsafe_b64decode(header + "=="))["kid"] == identifier
