"""The stack in production shape: behind Caddy, over HTTPS, on one origin and on three subdomains."""

import json
import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from psycopg import sql
from websockets.sync.client import connect

from dev import node, production, stack
from dev.mail import MailServer
from dev.postgres import EmbeddedPostgres, execute, fetch
from dev.production import DEPLOY, Production
from tests.example import browser
from tests.example.conftest import NEWEST, OLDEST, service_at

COOKIE = "__Secure-better-auth.session_token"
PASSWORD = "seventeen quiet lanterns"
CHECKS = (
    *("https", "secret", "cookies", "cors", "websocket", "verification", "reset", "passwords", "headers", "files"),
    *("sign-out", "rate-limits"),
)


@pytest.fixture(scope="module")
def mail() -> Generator[MailServer]:
    with MailServer() as mail:
        yield mail


@contextmanager
def started(postgres: EmbeddedPostgres, mail: MailServer, name: str, **options: Any) -> Generator[Production]:
    dsn = postgres.create_database(f"production_{name}_{secrets.token_hex(4)}")
    node.install(stack.AUTH_SERVICE)
    with Production(dsn, mail.url, **options) as at:
        yield at


SHAPES = {
    f"one origin, {OLDEST}": (OLDEST, False),
    f"one origin, {NEWEST}": (NEWEST, False),
    f"subdomains, {NEWEST}": (NEWEST, True),
}


@pytest.fixture(scope="module", params=SHAPES)
def at(request: pytest.FixtureRequest, postgres: EmbeddedPostgres, mail: MailServer) -> Generator[Production]:
    version, subdomains = SHAPES[request.param]
    name = re.sub(r"\W+", "_", request.param)
    with started(postgres, mail, name, package_dir=service_at(version), subdomains=subdomains) as at:
        yield at


def forget_attempts(at: Production) -> None:
    execute(at.dsn, "TRUNCATE rate_limit")


def account(at: Production, mail: MailServer, email: str) -> str:
    """Its address is confirmed."""
    forget_attempts(at)
    headers = {"Origin": at.page_url}
    body = {"name": "Ada", "email": email, "password": PASSWORD}
    signed_up = at.request("POST", f"{at.auth_url}/api/auth/sign-up/email", headers=headers, body=body)
    assert signed_up.status_code == 200, signed_up.text
    if signed_up.json()["token"] is None:
        token = mail.wait_for(email).token
        assert at.request("GET", f"{at.auth_url}/api/auth/verify-email?token={token}").status_code == 200
    return email


def session(at: Production, email: str) -> str:
    """A session cookie."""
    forget_attempts(at)
    body = {"email": email, "password": PASSWORD}
    response = at.request("POST", f"{at.auth_url}/api/auth/sign-in/email", headers={"Origin": at.page_url}, body=body)
    [cookie] = [text for text in response.headers.get_list("set-cookie") if text.startswith(f"{COOKIE}=")]
    return cookie.partition(";")[0]


def check(at: Production, email: str = "", *arguments: str) -> dict[str, str]:
    """Runs deploy/check.py; a name's mark and sentence."""
    forget_attempts(at)
    addresses = ["--auth", at.auth_url, "--api", at.api_url, "--http", at.insecure_url, "--ca", str(at.authority)]
    done = subprocess.run(
        [sys.executable, DEPLOY / "check.py", at.page_url, *addresses, *arguments],
        env={**os.environ, "CHECK_EMAIL": email, "CHECK_PASSWORD": PASSWORD},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    lines = done.stdout.splitlines()
    found = {name: f"{mark} {sentence.strip()}" for mark, name, sentence in (line.split(" ", 2) for line in lines[:-1])}
    ticks = sum(line.startswith("✓") for line in found.values())
    assert lines[-1] == f"{ticks} of {len(found)} proven", done.stdout + done.stderr
    assert done.returncode == (0 if ticks == len(found) else 1)
    return found


# --- the checklist


@pytest.mark.needs("caddy")
def test_the_whole_checklist_is_proven(at: Production, mail: MailServer) -> None:
    email = account(at, mail, f"check-{at.https_port}@example.com")
    found = check(at, email, "--env-file", str(at.env_file))
    assert not [line for line in found.values() if not line.startswith("✓")]
    assert tuple(found) == CHECKS
    assert documented_lines() == {in_general(f"{line[0]} {name:<13}{line[1:]}", at) for name, line in found.items()}


def documented_lines() -> set[str]:
    """What docs/going-live.md says that the checks print."""
    text = (stack.ROOT / "docs" / "going-live.md").read_text()
    return {re.sub(r"\d+ files", "N files", line) for line in text.splitlines() if line.startswith("✓")}


def in_general(line: str, at: Production) -> str:
    return re.sub(r"\d+ files", "N files", line.replace(at.page_url, "https://app.example.com"))


@pytest.mark.needs("caddy")
def test_what_is_not_as_it_should_be_gets_no_tick(postgres: EmbeddedPostgres, mail: MailServer, tmp_path: Path) -> None:
    mistakes = {
        "REQUIRE_EMAIL_VERIFICATION": "false",
        "TRUSTED_PROXIES": "",
        "CLIENT_ADDRESS_HEADER": "x-real-ip",  # which Caddy passes on as it comes
    }
    with started(postgres, mail, "mistakes", settings=mistakes, trusted_pages=("https://evil.example",)) as at:
        email = account(at, mail, "check-mistakes@example.com")
        leaky = tmp_path / ".env"
        leaky.write_text(f"BETTER_AUTH_SECRET='{'0123456789' * 4}'\nSOME_PASSWORD={at.api_url}\n")
        (at.page_folder / ".env").write_text(leaky.read_text())
        found = check(at, email, "--env-file", str(leaky))
        crossed = {name for name, line in found.items() if line.startswith("✗")}
        assert crossed == {"secret", "cors", "websocket", "verification", "files", "rate-limits"}, found
        assert "in quotes" in found["secret"]
        # Without the account and the file there is no tick either.
        found = check(at, "", "--only", "secret", "--only", "cookies", "--only", "headers")
        assert {name: line[0] for name, line in found.items()} == {"secret": "–", "cookies": "–", "headers": "✓"}


@pytest.mark.needs("caddy")
def test_a_deployment_that_the_certificate_is_not_valid_for_gets_no_tick(at: Production) -> None:
    done = subprocess.run(
        [sys.executable, DEPLOY / "check.py", at.page_url, "--only", "headers"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "CERTIFICATE_VERIFY_FAILED" in done.stdout


# --- cookies, addresses, headers


@pytest.mark.needs("caddy")
def test_only_the_secure_cookie_counts_over_http_and_websocket(at: Production, mail: MailServer) -> None:
    cookie = session(at, account(at, mail, f"cookie-{at.https_port}@example.com"))
    plain = cookie.removeprefix("__Secure-")
    assert at.request("GET", f"{at.api_url}/api/me", headers={"Cookie": cookie}).status_code == 200
    # A sibling host can set the plain one.
    assert at.request("GET", f"{at.api_url}/api/me", headers={"Cookie": plain}).status_code == 401
    both = f"better-auth.session_token=planted.value; {cookie}"
    assert at.request("GET", f"{at.api_url}/api/me", headers={"Cookie": both}).status_code == 200
    with socket(at, cookie) as opened:
        assert json.loads(opened.recv(timeout=10))["for"] == "Ada"
    assert at.handshake({"Cookie": plain, "Origin": at.page_url}) == 401


def socket(at: Production, cookie: str) -> Any:
    headers = {"Cookie": cookie, "Origin": at.page_url}
    return connect(at.socket_url, ssl=at.ssl, additional_headers=headers, proxy=None)


@pytest.mark.needs("caddy")
def test_the_clients_address_is_the_one_that_caddy_saw(at: Production, mail: MailServer) -> None:
    email = account(at, mail, f"address-{at.https_port}@example.com")
    for header in ("X-Forwarded-For", "X-Real-IP", "X-Resolved-Client-Address", "Forwarded"):
        forget_attempts(at)
        body = {"email": email, "password": PASSWORD}
        headers = {"Origin": at.page_url, header: "198.51.100.7"}
        url = f"{at.auth_url}/api/auth/sign-in/email"
        token = at.request("POST", url, headers=headers, body=body).json()["token"]
        query = "SELECT ip_address FROM session WHERE token = %s"
        assert fetch(at.dsn, query, token) == [("127.0.0.1",)], header


@pytest.mark.needs("caddy")
def test_error_responses_have_the_headers_too(postgres: EmbeddedPostgres, mail: MailServer) -> None:
    with started(postgres, mail, "errors") as at:
        at.backend.stop()
        at.auth_service.stop()
        for path, status in (("/api/me", 502), ("/api/auth/get-session", 502), ("/assets/none.js", 404)):
            response = at.request("GET", f"{at.page_url}{path}")
            assert response.status_code == status
            for name in ("strict-transport-security", "content-security-policy", "x-content-type-options"):
                assert name in response.headers, (path, name)
            assert "immutable" not in response.headers.get("cache-control", "")
        # The page itself is there, and says what is wrong.
        assert at.request("GET", f"{at.page_url}/login").status_code == 200


def test_no_secret_of_the_environment_is_built_in(tmp_path: Path) -> None:
    node.install(stack.FRONTEND)
    confidential = {
        "BETTER_AUTH_SECRET": "zq7-secret-zq7-0123456789abcdef",
        "DATABASE_URL": "postgresql://app:zq7-password@db/app",
        "SMTP_URL": "smtp://app:zq7-password@mail",
    }
    addresses = {
        "VITE_AUTH_URL": "https://auth.test",
        "VITE_API_BASE_URL": "https://api.test",
        "VITE_WEBSOCKET_URL": "wss://api.test/ws",
    }
    vite = stack.FRONTEND / "node_modules" / "vite" / "bin" / "vite.js"
    command = [node.node(), vite, "build", "--outDir", tmp_path, "--sourcemap", "--logLevel", "error"]
    environment = {**stack.clean(node.environment()), **addresses, **confidential}
    subprocess.run(command, cwd=stack.FRONTEND, env=environment, check=True, timeout=300)
    built = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.suffix == ".map" for path in built)
    text = "".join(path.read_text(errors="replace") for path in built)
    assert addresses["VITE_AUTH_URL"] in text
    assert "zq7-" not in text
    # The policy allows no script in the page itself.
    assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=", (tmp_path / "index.html").read_text())


# --- containers


def test_every_container_is_hardened_and_healthy_before_the_next_one_starts() -> None:
    services = production.compose()["services"]
    assert set(services) == {"postgres", "migrate", "auth-service", "backend", "caddy"}
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
    assert services["postgres"]["user"] == "postgres"
    assert services["postgres"]["healthcheck"]["test"][1] == "pg_isready"
    waits = {
        name: {of: how["condition"] for of, how in s.get("depends_on", {}).items()} for name, s in services.items()
    }
    assert waits == {
        "postgres": {},
        "migrate": {"postgres": "service_healthy"},
        "auth-service": {"migrate": "service_completed_successfully"},
        "backend": {"migrate": "service_completed_successfully"},
        "caddy": {"auth-service": "service_healthy", "backend": "service_healthy"},
    }
    # Only Caddy can be reached from outside.
    assert [name for name, service in services.items() if "ports" in service] == ["caddy"]


@pytest.mark.parametrize("name", ["auth-service", "backend", "caddy"])
def test_every_image_is_built_in_stages_and_runs_as_nobody_special(name: str) -> None:
    lines = (DEPLOY / f"{name}.Dockerfile").read_text().splitlines()
    instructions = [line.split(" ", 1)[0] for line in lines if re.match("[A-Z]+ ", line)]
    assert instructions.count("FROM") == 2
    last_stage = instructions[len(instructions) - instructions[::-1].index("FROM") - 1 :]
    [user] = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert user not in ("root", "0")
    assert last_stage.index("USER") < last_stage.index("CMD")
    assert "HEALTHCHECK" in last_stage
    assert not any("SECRET" in line or "PASSWORD" in line for line in lines)
    # What the images are said to be tested by.
    assert production.command_of(name)[0] in ("node", "python", "caddy")


def test_every_setting_of_a_container_is_one_that_its_program_knows() -> None:
    known = (stack.AUTH_SERVICE / "src" / "settings.ts").read_text()
    for file in ("compose.yaml", "compose.subdomains.yaml"):
        for setting in production.compose(file)["services"]["auth-service"]["environment"]:
            assert f'"{setting}"' in known or f"env.{setting}" in known, setting
    wanted = set(re.findall(r"\$\{(\w+)", (DEPLOY / "compose.yaml").read_text()))
    given = dict(re.findall(r"^(\w+)=(.*)$", (DEPLOY / ".env.example").read_text(), re.MULTILINE))
    assert wanted == set(given)


# --- in a browser


def as_stack(at: Production, postgres: EmbeddedPostgres, mail: MailServer, home: Path) -> browser.Stack:
    """The browser whose HOME is `home` trusts Caddy's authority."""
    nss = home / ".pki" / "nssdb"
    nss.mkdir(parents=True)
    options = ["-d", f"sql:{nss}"]
    subprocess.run(["certutil", *options, "-N", "--empty-password"], check=True)
    subprocess.run(["certutil", *options, "-A", "-n", "Caddy", "-t", "C,,", "-i", at.authority], check=True)
    database = urlsplit(at.dsn).path.removeprefix("/")

    def stop_mail() -> None:
        mail.stop()
        time.sleep(1.1)  # the auth service uses a verdict on the mail server for one second

    def start_mail() -> None:
        mail.start()
        time.sleep(1.1)

    def stop_database() -> None:
        execute(postgres.dsn(), f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
        execute(postgres.dsn(), f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'")

    def stop_backend() -> None:
        at.backend.stop()  # the one that runs now

    def stop_auth_service() -> None:
        at.auth_service.stop()

    actions: dict[str, Callable[..., object]] = {
        "forget attempts": lambda: forget_attempts(at),
        "link": browser.Links(mail).next,
        "stop mail": stop_mail,
        "start mail": start_mail,
        "stop backend": stop_backend,
        "start backend": at.start_backend,
        "stop auth-service": stop_auth_service,
        "start auth-service": at.start_auth_service,
        "stop database of backend": stop_database,
        "start database of backend": lambda: execute(
            postgres.dsn(), f"ALTER DATABASE {database} ALLOW_CONNECTIONS true"
        ),
    }

    def delete_user(address: str) -> None:
        execute(at.dsn, sql.SQL('DELETE FROM "user" WHERE email = {}').format(address))

    def delete_sessions(address: str) -> None:
        users = sql.SQL('SELECT id FROM "user" WHERE email = {}').format(address)
        execute(at.dsn, sql.SQL("DELETE FROM session WHERE user_id IN ({})").format(users))

    actions |= {"delete user": delete_user, "delete sessions": delete_sessions}
    traits = frozenset({"confirms-addresses", "limits-rates"})
    return browser.Stack(at.page_url, at.auth_url, at.api_url, actions, traits)


# Two tests, because pytest would start the stack anew for each pair of a shape and a group.
@pytest.mark.needs("caddy", "certutil", "chromium")
@pytest.mark.parametrize("group", ["production", "mail", *browser.GROUPS])
@pytest.mark.parametrize("at", [f"one origin, {NEWEST}"], indirect=True)
def test_visitors_stories_in_a_browser(
    at: Production, postgres: EmbeddedPostgres, mail: MailServer, group: str, tmp_path: Path
) -> None:
    screenshots = os.environ.get("SCREENSHOTS")
    running = as_stack(at, postgres, mail, tmp_path)
    browser.run(running, group, home=tmp_path, screenshots=Path(screenshots) if screenshots else None)


# Where a proxy's own response carries no CORS headers, the page sees less of an outage.
@pytest.mark.needs("caddy", "certutil", "chromium")
@pytest.mark.parametrize("group", ["subdomains", "accounts", "sessions", "outages"])
@pytest.mark.parametrize("at", [f"subdomains, {NEWEST}"], indirect=True)
def test_visitors_stories_on_subdomains(
    at: Production, postgres: EmbeddedPostgres, mail: MailServer, group: str, tmp_path: Path
) -> None:
    browser.run(as_stack(at, postgres, mail, tmp_path), group, home=tmp_path)
