"""Each Python snippet of the documentation runs unchanged, and its routes identify a signed-in user."""

import logging
import re
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import structlog
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.testclient import TestClient

from auth_middleware import AuthSettings, get_current_user
from dev.cookies import SECRET
from tests.support.databases import Database, SignedIn

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# Its snippets are the files of a project, which test_testing_plugin.py runs.
PROJECT = "testing.md"
FENCE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SNIPPETS = [
    pytest.param(match[1], id=f"{page.name}:{page.read_text()[: match.start()].count(chr(10)) + 1}")
    for page in PAGES
    if page.name != PROJECT
    for match in FENCE.finditer(page.read_text())
]


@pytest.fixture
def person(environment: pytest.MonkeyPatch, database: Database) -> SignedIn:
    """A signed-in user, with only the README's three variables in the environment."""
    environment.setenv("DATABASE_URL", database.dsn)
    environment.setenv("BETTER_AUTH_SECRET", SECRET)
    environment.setenv("BETTER_AUTH_URL", "http://auth.test")
    database.execute('ALTER TABLE "user" ADD COLUMN role text')
    return database.sign_in()


@pytest.fixture(autouse=True)
def logging_as_before() -> Generator[None]:
    """Undoes what the pages on logging configure."""
    loggers = [logging.getLogger(), logging.getLogger("auth_middleware")]
    before = [(logger, logger.level, logger.handlers[:]) for logger in loggers]
    yield
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers
    structlog.reset_defaults()


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_a_snippet_runs_unchanged(snippet: str, person: SignedIn) -> None:
    namespace: dict[str, Any] = {"__name__": "snippet"}
    exec(compile(snippet, "snippet", "exec"), namespace)  # noqa: S102 - our own documentation
    app = namespace.get("app")
    if isinstance(app, Starlette):
        visit_every_route(app, person)


def visit_every_route(app: Starlette, person: SignedIn) -> None:
    replaces_the_user = isinstance(app, FastAPI) and get_current_user in app.dependency_overrides
    with TestClient(app) as client:
        for path, route in own_routes(app):
            if isinstance(route, WebSocketRoute):
                with client.websocket_connect(path, headers=person.headers) as socket:
                    assert socket.receive_json()
                continue
            assert client.get(path, headers=person.headers).status_code == 200
            assert client.get(path).status_code == (200 if replaces_the_user else 401)


def own_routes(app: Any, prefix: str = "") -> Generator[tuple[str, BaseRoute]]:
    """The application's routes without those of FastAPI's documentation pages, mounted ones included."""
    for route in app.routes:
        if isinstance(route, Mount):
            yield from own_routes(route, prefix + route.path)
        elif isinstance(route, Route | WebSocketRoute) and not route.path.startswith(("/docs", "/redoc", "/openapi")):
            yield prefix + route.path, route


def test_the_settings_page_lists_every_setting() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    missing = [name for name in AuthSettings.model_fields if f"`{name.rstrip('_')}`" not in page]
    assert not missing


def test_links_between_pages_are_valid() -> None:
    for page in [*PAGES, *ROOT.glob("*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().split()) < 1000


def test_every_test_in_the_security_map_exists() -> None:
    rows = re.findall(r"^\| ([\d., ]+) \|.*?\|(.*)\|$", (ROOT / "SECURITY.md").read_text(), re.MULTILINE)
    named = {number: re.findall(r"`([^`]+)::([^`]+)`", tests) for number, tests in rows}
    assert len(named) == 13 + 13
    assert all(named.values()), "a requirement without a test"
    missing = [f"{path}::{name}" for tests in named.values() for path, name in tests if not is_defined(path, name)]
    assert not missing


def is_defined(path: str, name: str) -> bool:
    source = ROOT / path
    return source.exists() and re.search(rf"\b(def|fn) {re.escape(name)}\(", source.read_text()) is not None
