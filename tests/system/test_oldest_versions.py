"""An application works with exactly the lower bounds in pyproject.toml."""

import os
import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest

from dev import oldest
from dev.cookies import COOKIE_NAME, SECRET
from dev.environment import without_our_settings
from dev.processes import ChildProcess, free_port
from tests.support.applications import Send, send_over_sockets
from tests.support.databases import Database, SignedIn

pytestmark = pytest.mark.needs("oldest")

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def python() -> Path:
    return oldest.install()


@pytest.fixture
def ada(database: Database) -> SignedIn:
    ada = database.sign_in()
    database.execute("""ALTER TABLE "user" ADD role text NOT NULL DEFAULT 'admin'""")
    return ada


@pytest.fixture
def application_environment(database: Database, ada: SignedIn) -> dict[str, str]:
    assert ada, "the column that the application declares must exist"
    return {
        **without_our_settings(),
        "PYTHONPATH": os.pathsep.join([str(oldest.ROOT / "python"), str(HERE)]),
        "PYTHONWARNINGS": "error:::auth_middleware",
        "DATABASE_URL": database.dsn,
        "BETTER_AUTH_SECRET": SECRET,
        "BETTER_AUTH_URL": "http://auth.test",
    }


@pytest.fixture
def send(python: Path, application_environment: dict[str, str]) -> Generator[Send]:
    port = free_port()
    command = [python, "-m", "uvicorn", "oldest_application:app", "--port", str(port), "--log-level", "warning"]
    with ChildProcess("uvicorn", command, env=application_environment) as server:
        server.wait_for_url(f"http://127.0.0.1:{port}/openapi.json")
        yield send_over_sockets(f"http://127.0.0.1:{port}")


def test_the_oldest_versions_are_installed(python: Path) -> None:
    code = "import json, sys; from importlib.metadata import version; print(*map(version, sys.argv[1:]))"
    wanted = oldest.versions()
    found = subprocess.run([python, "-c", code, *wanted], capture_output=True, text=True, check=True).stdout.split()
    assert [version.split(".")[:2] for version in found] == [version.split(".")[:2] for version in wanted.values()]


def test_opentelemetry_is_not_needed(python: Path, application_environment: dict[str, str]) -> None:
    code = """
import importlib.util
assert importlib.util.find_spec("opentelemetry") is None
from auth_middleware import get_auth
from auth_middleware.telemetry import lookups
assert lookups.record is None
print(get_auth().counters["identified"])
"""
    done = subprocess.run(
        [python, "-c", code], env=application_environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.stdout, done.returncode) == ("0\n", 0), done.stderr


def test_http_and_websocket_routes(send: Send, ada: SignedIn) -> None:
    cross_site = {**ada.headers, "Origin": "https://evil.example"}
    forged = {"Cookie": f"{COOKIE_NAME}={ada.token}.{'A' * 43}%3D"}
    assert send("GET", "/required", ada.headers).body["id"] == ada.user_id
    assert send("POST", "/required", ada.headers).status == 200
    refused = send("GET", "/required", forged)
    assert (refused.status, refused.body) == (401, {"detail": "Invalid or expired session"})
    assert refused.header("www-authenticate") == 'Cookie realm="better-auth"'
    assert send("POST", "/required", cross_site).status == 403
    assert send("GET", "/optional").body is None
    assert send("GET", "/optional", ada.headers).body == "Ada Lovelace"
    assert send("GET", "/member", ada.headers).body == "admin"
    session = send("GET", "/session", ada.headers).body
    assert session["user_id"] == ada.user_id
    assert "token" not in session
    for path in ("/required", "/validated"):
        assert send("WS", path, ada.headers).body == "Ada Lovelace"
        assert send("WS", path).status == 401
        assert send("WS", path, forged).status == 401
        assert send("WS", path, cross_site).status == 403


def test_a_missing_table_is_503(send: Send, ada: SignedIn, database: Database) -> None:
    database.execute("ALTER TABLE session RENAME TO gone")
    for path in ("/required", "/optional"):
        response = send("GET", path, ada.headers)
        assert (response.status, response.header("retry-after")) == (503, "1")
    assert send("WS", "/required", ada.headers).status == 503


def test_the_openapi_schema_declares_the_cookie(send: Send) -> None:
    schema = send("GET", "/openapi.json").body
    [scheme] = schema["components"]["securitySchemes"].values()
    assert scheme == {"type": "apiKey", "in": "cookie", "name": COOKIE_NAME}
    for path in ("/required", "/optional", "/session", "/member"):
        operation = schema["paths"][path]["get"]
        assert operation["security"]
        assert "parameters" not in operation


def test_starlettes_test_client(python: Path, application_environment: dict[str, str], ada: SignedIn) -> None:
    command = [python, HERE / "oldest_application.py", ada.cookie_value]
    done = subprocess.run(command, env=application_environment, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
