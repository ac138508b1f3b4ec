"""The lower bounds in pyproject.toml are true: an application works with exactly those versions."""

import os
import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest

from dev import oldest
from dev.processes import ChildProcess, free_port
from tests.support.applications import Ask, asking_by_sockets
from tests.support.cookies import COOKIE_NAME, SECRET
from tests.support.databases import Database, SignedIn
from tests.support.environment import without_our_settings

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
def environment_of_it(database: Database, ada: SignedIn) -> dict[str, str]:
    assert ada, "the column that the application declares has to be there"
    return {
        **without_our_settings(),
        "PYTHONPATH": os.pathsep.join([str(oldest.ROOT / "python"), str(HERE)]),
        "PYTHONWARNINGS": "error:::auth_middleware",
        "DATABASE_URL": database.dsn,
        "BETTER_AUTH_SECRET": SECRET,
        "BETTER_AUTH_URL": "http://auth.test",
    }


@pytest.fixture
def ask(python: Path, environment_of_it: dict[str, str]) -> Generator[Ask]:
    port = free_port()
    command = [python, "-m", "uvicorn", "oldest_application:app", "--port", str(port), "--log-level", "warning"]
    with ChildProcess("uvicorn", command, env=environment_of_it) as server:
        server.wait_for_url(f"http://127.0.0.1:{port}/openapi.json")
        yield asking_by_sockets(f"http://127.0.0.1:{port}")


def test_the_versions_are_the_oldest(python: Path) -> None:
    code = "import json, sys; from importlib.metadata import version; print(*map(version, sys.argv[1:]))"
    wanted = oldest.versions()
    found = subprocess.run([python, "-c", code, *wanted], capture_output=True, text=True, check=True).stdout.split()
    assert [version.split(".")[:2] for version in found] == [version.split(".")[:2] for version in wanted.values()]


def test_by_http_and_websockets(ask: Ask, ada: SignedIn) -> None:
    stranger = {**ada.headers, "Origin": "https://evil.example"}
    forged = {"Cookie": f"{COOKIE_NAME}={ada.token}.{'A' * 43}%3D"}
    assert ask("GET", "/required", ada.headers).body["id"] == ada.user_id
    assert ask("POST", "/required", ada.headers).status == 200
    refused = ask("GET", "/required", forged)
    assert (refused.status, refused.body) == (401, {"detail": "Invalid or expired session"})
    assert refused.header("www-authenticate") == 'Cookie realm="better-auth"'
    assert ask("POST", "/required", stranger).status == 403
    assert ask("GET", "/optional").body is None
    assert ask("GET", "/optional", ada.headers).body == "Ada Lovelace"
    assert ask("GET", "/member", ada.headers).body == "admin"
    shown = ask("GET", "/session", ada.headers).body
    assert shown["user_id"] == ada.user_id
    assert "token" not in shown
    for path in ("/required", "/validated"):
        assert ask("WS", path, ada.headers).body == "Ada Lovelace"
        assert ask("WS", path).status == 401
        assert ask("WS", path, forged).status == 401
        assert ask("WS", path, stranger).status == 403


def test_the_store_is_down(ask: Ask, ada: SignedIn, database: Database) -> None:
    database.execute("ALTER TABLE session RENAME TO gone")
    for path in ("/required", "/optional"):
        answer = ask("GET", path, ada.headers)
        assert (answer.status, answer.header("retry-after")) == (503, "1")
    assert ask("WS", "/required", ada.headers).status == 503


def test_the_docs_show_the_lock(ask: Ask) -> None:
    schema = ask("GET", "/openapi.json").body
    [scheme] = schema["components"]["securitySchemes"].values()
    assert scheme == {"type": "apiKey", "in": "cookie", "name": COOKIE_NAME}
    for path in ("/required", "/optional", "/session", "/member"):
        operation = schema["paths"][path]["get"]
        assert operation["security"]
        assert "parameters" not in operation


def test_under_the_test_client(python: Path, environment_of_it: dict[str, str], ada: SignedIn) -> None:
    command = [python, HERE / "oldest_application.py", ada.cookie_value]
    done = subprocess.run(command, env=environment_of_it, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
