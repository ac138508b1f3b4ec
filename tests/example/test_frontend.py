"""The frontend: its own tests, its build with every type checked, served at each address, and stories in a browser."""

from collections.abc import Generator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from dev import node, stack
from dev.mail import MailServer
from dev.postgres import EmbeddedPostgres
from dev.processes import free_port
from tests.example.browser import GROUPS, Stack, run
from tests.example.conftest import NEWEST, OLDEST, service_at
from tests.example.development import development

# What dist/ is built with, when nobody says otherwise: the plan's ports.
PLANNED = {
    "VITE_API_BASE_URL": "http://localhost:9403",
    "VITE_WEBSOCKET_URL": "ws://localhost:9403/ws",
    "VITE_AUTH_URL": "http://localhost:9404",
}


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    node.install(stack.FRONTEND)


@pytest.fixture(scope="module")
def dist() -> Path:
    """`npm run build`, unless it was run since anything changed."""
    directory = stack.FRONTEND / "dist"
    page = directory / "index.html"
    sources = [path for path in stack.FRONTEND.iterdir() if path.is_file() and path.name != ".env"]
    sources += [path for folder in ("src", "public", "tests") for path in (stack.FRONTEND / folder).rglob("*")]
    if not page.exists() or page.stat().st_mtime < max(source.stat().st_mtime for source in sources):
        build(**PLANNED)
    return directory


def build(**addresses: str) -> None:
    """`npm run build`; the addresses win over a developer's .env."""
    with pytest.MonkeyPatch.context() as environment:
        for name, address in addresses.items():
            environment.setenv(name, address)
        node.npm("run", "build", package_dir=stack.FRONTEND)


@pytest.fixture(scope="module")
def url(dist: Path) -> Generator[str]:
    port = free_port()
    with stack.frontend(port, dist) as served:
        url = f"http://localhost:{port}"
        served.wait_for_url(f"{url}/")
        yield url


def get(url: str) -> httpx.Response:
    return httpx.get(url, headers={"Accept": "text/html"}, timeout=30, trust_env=False)


def test_its_own_tests_pass() -> None:
    node.npm("test", package_dir=stack.FRONTEND)


@pytest.mark.parametrize(
    "path", ["/", "/login", "/signup?redirect=/", "/login?redirect=//evil.example", "/no/such/page"]
)
def test_every_path_is_the_page(url: str, path: str) -> None:
    response = get(url + path)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")
    assert '<div id="app">' in response.text


def test_what_the_page_names_is_there(url: str, dist: Path) -> None:
    page = get(url).text
    files = ["icon.svg", *(str(path.relative_to(dist)) for path in dist.glob("assets/*"))]
    assert any(name in page for name in files if name.endswith(".js"))
    for name in files:
        response = get(f"{url}/{name}")
        assert response.status_code == 200
        assert "text/html" not in response.headers["content-type"]


def test_the_addresses_are_built_in(dist: Path) -> None:
    code = "".join(path.read_text() for path in dist.glob("assets/*.js"))
    for address in PLANNED.values():
        assert address in code


def test_without_its_addresses_it_cannot_be_built() -> None:
    with pytest.raises(RuntimeError, match=r"See \.env\.example") as refused:
        build(**dict.fromkeys(PLANNED, ""))
    assert all(f"{name} is not set" in str(refused.value) for name in PLANNED)


def test_with_an_unknown_credential_it_cannot_be_built() -> None:
    with pytest.raises(RuntimeError, match="VITE_CREDENTIAL is neither cookie nor jwt"):
        build(**PLANNED, VITE_CREDENTIAL="token")


def test_the_example_settings_name_every_address_and_one_host() -> None:
    lines = (stack.FRONTEND / ".env.example").read_text().splitlines()
    settings = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert settings == {**PLANNED, "VITE_CREDENTIAL": "cookie"}
    assert {urlsplit(settings[name]).hostname for name in PLANNED} == {"localhost"}


@pytest.fixture(scope="module")
def running(
    request: pytest.FixtureRequest, postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Stack]:
    with development(postgres, service_at(str(request.param)), tmp_path_factory.mktemp("page")) as running:
        yield running


# Which release of Better Auth runs matters to accounts and sessions only.
@pytest.mark.needs("chromium")
@pytest.mark.parametrize(
    ("running", "group"),
    [(OLDEST, "accounts"), (OLDEST, "sessions"), *((NEWEST, group) for group in GROUPS)],
    indirect=["running"],
)
def test_visitors_stories_in_a_browser(running: Stack, group: str, tmp_path: Path) -> None:
    run(running, group, home=tmp_path)


@pytest.mark.needs("chromium")
@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_visitors_stories_with_mail_in_a_browser(postgres: EmbeddedPostgres, version: str, tmp_path: Path) -> None:
    with MailServer() as mail, development(postgres, service_at(version), tmp_path / "page", mail) as running:
        run(running, "mail", home=tmp_path)


@pytest.mark.needs("chromium")
@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_visitors_stories_with_a_token_and_no_cookie_in_a_browser(
    postgres: EmbeddedPostgres, version: str, tmp_path: Path
) -> None:
    with development(postgres, service_at(version), tmp_path / "page", credential="jwt") as running:
        run(running, "tokens", home=tmp_path)
