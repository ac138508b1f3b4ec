"""The structured fields of log records, and the recipes of docs/logging.md under a real uvicorn."""

import json
import logging
import re
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from auth_middleware import Auth, AuthError, AuthMiddleware, OriginRefused, errors, get_auth
from auth_middleware._core import Core, error_type
from auth_middleware.log_fields import MOST_PATH_CHARACTERS, NO_SESSION
from dev.cookies import SECRET, cookie, new_token, signed
from dev.environment import without_our_settings
from dev.processes import ChildProcess, free_port
from tests.support.applications import guarded
from tests.support.databases import Database
from tests.support.instances import BASE_URL, MakeAuth, unreachable_dsn

ROOT = Path(__file__).parents[2]
FIELDS = ("reason", "credential", "path")


@pytest.fixture(autouse=True)
def at_info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "auth_middleware")


def fields(caplog: pytest.LogCaptureFixture, level: int = logging.INFO) -> list[tuple[Any, ...]]:
    """The different fields of the records about requests, in order. Advice may follow a refusal, with the same."""
    found = [record for record in caplog.records if record.name == "auth_middleware" and record.levelno == level]
    given = [tuple(getattr(record, name) for name in FIELDS) for record in found if hasattr(record, "reason")]
    return list(dict.fromkeys(given))


def test_a_refusal_says_why_and_what_was_presented_and_where(
    make_auth: MakeAuth, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    ada = database.sign_in()
    expired = database.sign_in(expires_at="2020-01-01T00:00:00Z")
    auth = make_auth(credentials=("cookie", "bearer"))
    with TestClient(guarded(auth)) as client:
        client.get("/required", headers=ada.headers)
        client.get("/required?token=secret")
        client.get("/optional", headers=expired.headers)
        client.get("/session", headers={"Authorization": f"Bearer {signed(new_token())}"})
        client.post("/required", headers=ada.headers | {"Origin": "https://evil.example"})
    refused_origin = ("origin", "cookie", "/required")
    assert fields(caplog) == [
        ("no_cookie", None, "/required"),
        ("expired", "cookie", "/optional"),
        ("unknown_session", "bearer", "/session"),
        refused_origin,
    ]
    assert refused_origin in fields(caplog, logging.WARNING)


def test_a_websocket_and_a_mounted_application_log_the_whole_path(auth: Auth, caplog: pytest.LogCaptureFixture) -> None:
    app = FastAPI()
    app.mount("/api", guarded(auth))
    app.dependency_overrides[get_auth] = lambda: auth
    client = TestClient(app)
    client.get("/api/required")
    with client.websocket_connect("/api/optional?token=secret") as socket:
        assert socket.receive_json() is None
    assert fields(caplog) == [("no_cookie", None, "/api/required"), ("no_cookie", None, "/api/optional")]


async def test_a_cookie_value_has_no_path(auth: Auth, caplog: pytest.LogCaptureFixture) -> None:
    assert await auth.validate_session("forged.value") is None
    assert await auth.validate_session(None) is None
    assert fields(caplog) == [("bad_signature", "cookie", None), ("no_cookie", None, None)]


def kinds_of(error: type[AuthError]) -> Generator[type[AuthError]]:
    if error.__module__ == errors.__name__:
        yield error
        for kind in error.__subclasses__():
            yield from kinds_of(kind)


def test_the_page_lists_every_reason_and_no_other() -> None:
    page = (ROOT / "docs" / "logging.md").read_text()
    listed = re.findall(r"^\| `(\w+)` \| (?:401|403|500|503) \|", page, re.MULTILINE)
    # Each kind of error has a reason too. `OriginRefused` is the response to a refusal.
    found = {error_type(kind("x")) for kind in kinds_of(AuthError) if kind is not OriginRefused}
    assert set(listed) == {*Core.reasons(), *found, NO_SESSION}
    assert len(listed) == len(set(listed))


def test_503_responses_have_the_fields_too(
    make_auth: MakeAuth, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    who = database.sign_in()
    client = TestClient(guarded(make_auth(database_url=unreachable_dsn())))
    for _ in range(2):
        assert client.get("/required", headers=who.headers).status_code == 503
    expected = ("store_unavailable", "cookie", "/required")
    assert fields(caplog, logging.WARNING) == fields(caplog) == [expected]


def test_the_middleware_logs_the_same_fields(auth: Auth, caplog: pytest.LogCaptureFixture) -> None:
    app = FastAPI()
    app.add_middleware(AuthMiddleware, auth=auth, required=True)
    assert TestClient(app).get("/anything").status_code == 401
    assert fields(caplog) == [("no_cookie", None, "/anything")]


@pytest.mark.parametrize(
    "path", ["/\r\nWARNING auth_middleware: forged", "/\x1b[31mred", "/\u202eover", "/" + "x" * 5000, "/\ud800"]
)
def test_a_hostile_path_is_printable_and_short(auth: Auth, caplog: pytest.LogCaptureFixture, path: str) -> None:
    app = guarded(auth)

    @app.get("/{rest:path}")
    async def anything() -> None: ...

    app.add_middleware(AuthMiddleware, auth=auth)
    TestClient(app).get(quote(path, errors="surrogatepass"))
    [(reason, _, logged)] = fields(caplog)
    assert reason == "no_cookie"
    assert logged.isprintable()
    assert logged.startswith("/")
    assert len(logged) <= MOST_PATH_CHARACTERS


def test_an_encoded_question_mark_does_not_bring_the_query_back(auth: Auth, caplog: pytest.LogCaptureFixture) -> None:
    app = guarded(auth)
    app.add_middleware(AuthMiddleware, auth=auth)
    TestClient(app).get("/required%3Ftoken=secret")
    assert fields(caplog) == [("no_cookie", None, "/required")]


def test_no_record_has_a_credential(make_auth: MakeAuth, database: Database, caplog: pytest.LogCaptureFixture) -> None:
    ada, gone = database.sign_in(), new_token()
    auth = make_auth(credentials=("cookie", "bearer"))
    jwt = f"eyJhbGciOiJub25lIn0.{new_token()}.{new_token()}"
    with TestClient(guarded(auth)) as client:
        for headers in (
            cookie(gone),
            cookie(gone, secret=new_token() * 2),
            {"Authorization": f"Bearer {signed(gone)}"},
            {"Authorization": f"Bearer {jwt}"},
            ada.headers | {"Origin": "https://evil.example"},
        ):
            client.post("/required", params={"token": ada.token}, headers=headers)
    assert len(fields(caplog)) >= 4
    for record in caplog.records:
        shown = repr(vars(record))
        assert not any(secret in shown for secret in (gone, ada.token, jwt, SECRET, "eyJ"))


# --- docs/logging.md


def recipe(heading: str) -> str:
    section = (ROOT / "docs" / "logging.md").read_text().partition(f"## {heading}\n")[2].partition("\n## ")[0]
    [snippet] = re.findall(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return snippet


@pytest.fixture
def logged_by(database: Database, tmp_path: Path) -> Callable[[str], list[str]]:
    """Runs an application with a recipe under uvicorn's default configuration; returns what it logs of a request."""

    def run(heading: str) -> list[str]:
        app = "from auth_middleware import get_auth\nfrom tests.support.applications import guarded\n"
        (tmp_path / "logged.py").write_text(f"{recipe(heading)}\n{app}app = guarded(get_auth())\n")
        environment = {
            **without_our_settings(),
            "DATABASE_URL": database.dsn,
            "BETTER_AUTH_SECRET": SECRET,
            "BETTER_AUTH_URL": BASE_URL,
            "PYTHONPATH": f"{tmp_path}:{ROOT}",
        }
        port = free_port()
        expired = database.sign_in(expires_at="2020-01-01T00:00:00Z")
        command = [sys.executable, "-m", "uvicorn", "logged:app", "--port", str(port)]
        with ChildProcess("uvicorn", command, env=environment) as server:
            server.wait_for_url(f"http://127.0.0.1:{port}/openapi.json")
            url = f"http://127.0.0.1:{port}/required?token=secret"
            assert httpx.get(url, headers=expired.headers, trust_env=False).status_code == 401
            server.wait_until(lambda: "refused" in server.last_output())
        return [line for line in server.last_output().splitlines() if "refused" in line]

    return run


def test_two_lines_show_the_reason_under_uvicorns_configuration(logged_by: Callable[[str], list[str]]) -> None:
    [line] = logged_by("uvicorn")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d [\d:,]+ INFO auth_middleware: refused: expired", line)
    assert len([line for line in recipe("uvicorn").splitlines() if line.startswith("logging.")]) == 2


def test_a_format_string_shows_the_fields(logged_by: Callable[[str], list[str]]) -> None:
    [line] = logged_by("Fields")
    assert line.endswith("INFO refused: expired reason=expired credential=cookie path=/required")


@pytest.mark.parametrize(("heading", "message"), [("JSON", "message"), ("structlog", "event")])
def test_a_line_of_json_has_the_fields(logged_by: Callable[[str], list[str]], heading: str, message: str) -> None:
    [line] = logged_by(heading)
    shown = json.loads(line)
    assert shown[message] == "refused: expired"
    assert [shown[name] for name in FIELDS] == ["expired", "cookie", "/required"]
    assert "secret" not in line
