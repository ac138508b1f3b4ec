"""The example's auth-service, at both Better Auth versions, and its backend, as the demo starts them."""

import json
import secrets
import shutil
from collections.abc import Callable, Generator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from dev import node, stack
from dev.postgres import EmbeddedPostgres
from dev.processes import ChildProcess, free_port

# The oldest that package.json's range allows; the newest is what package-lock.json says.
OLDEST = "1.4.6"
NEWEST = "1.7.25"


def service_at(version: str) -> Path:
    """The auth-service's folder with that Better Auth installed: its own, or a copy of it below target/."""
    if version == NEWEST:
        node.install(stack.AUTH_SERVICE)
        return stack.AUTH_SERVICE
    copy = stack.ROOT / "target" / "stack" / f"auth-service-{version}"
    shutil.copytree(
        stack.AUTH_SERVICE,
        copy,
        ignore=shutil.ignore_patterns("node_modules", "dist", "package-lock.json", ".env"),
        dirs_exist_ok=True,
    )
    package = json.loads((copy / "package.json").read_text())
    package["dependencies"]["better-auth"] = version
    wanted = json.dumps(package, indent=2)
    (copy / "package.json").write_text(wanted)
    stamp = copy / "node_modules" / ".installed"
    if not stamp.exists() or stamp.read_text() != wanted:
        node.npm("install", "--no-audit", "--no-fund", package_dir=copy)
        stamp.write_text(wanted)
    return copy


def installed_version(package_dir: Path) -> str:
    return json.loads((package_dir / "node_modules" / "better-auth" / "package.json").read_text())["version"]


@dataclass(frozen=True)
class Services:
    """What runs, and where. Nobody listens at `page_url`: it is the origin that a browser would name."""

    version: str
    package_dir: Path
    dsn: str
    auth_url: str
    api_url: str
    page_url: str
    settings: dict[str, str]
    backend: ChildProcess

    @property
    def socket_url(self) -> str:
        return f"ws{self.api_url.removeprefix('http')}/ws"


@pytest.fixture(scope="session")
def postgres() -> Generator[EmbeddedPostgres]:
    with EmbeddedPostgres() as postgres:
        yield postgres


@pytest.fixture(scope="session", params=[OLDEST, NEWEST])
def services(request: pytest.FixtureRequest, postgres: EmbeddedPostgres) -> Generator[Services]:
    version = str(request.param)
    dsn = postgres.create_database(f"stack_{version.replace('.', '_')}")
    stack.migrate(dsn, "tables", "rate_limit")
    auth_port, api_port, page_port = free_port(), free_port(), free_port()
    auth_url, api_url = f"http://localhost:{auth_port}", f"http://localhost:{api_port}"
    settings = {
        "DATABASE_URL": dsn,
        "BETTER_AUTH_SECRET": secrets.token_hex(32),
        "AUTH_BASE_URL": auth_url,
        "FRONTEND_URL": f"http://localhost:{page_port}",
    }
    package_dir = service_at(version)
    with (
        stack.auth_service(auth_port, settings, package_dir=package_dir) as auth_service,
        stack.backend(api_port, settings) as backend,
    ):
        auth_service.wait_for_url(f"{auth_url}/health")
        backend.wait_for_url(f"{api_url}/health")
        page_url = settings["FRONTEND_URL"]
        yield Services(version, package_dir, dsn, auth_url, api_url, page_url, settings, backend)


@pytest.fixture
def start_backend(services: Services) -> Generator[Callable[..., Services]]:
    """Another backend beside the same auth-service; keywords are variables of its environment."""
    with ExitStack() as down:

        def start(**environment: str) -> Services:
            port = free_port()
            url = f"http://localhost:{port}"
            backend = down.enter_context(stack.backend(port, {**services.settings, **environment}))
            backend.wait_for_url(f"{url}/health")
            return replace(services, api_url=url, backend=backend)

        yield start
