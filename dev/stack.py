"""The example's three services and its migrations as child processes, for the demo and for tests.

    stack.migrate(dsn, "tables")
    with stack.auth_service(port, settings) as auth_service:
        auth_service.wait_for_url(f"http://localhost:{port}/health")

`settings` are the services' shared settings: DATABASE_URL, BETTER_AUTH_SECRET, AUTH_BASE_URL, FRONTEND_URL. Related
variables of the caller's shell are not passed on.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TextIO

from dev import node
from dev.processes import ChildProcess

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "orchestrator_3_stream"
AUTH_SERVICE = EXAMPLE / "auth-service"
BACKEND = EXAMPLE / "backend"
FRONTEND = EXAMPLE / "frontend"
STORY = EXAMPLE / "story.py"

OUR_SETTINGS = (
    *("AUTH_", "BETTER_AUTH_", "VITE_", "FRONTEND_URL", "COOKIE_DOMAIN", "RATE_LIMIT_TABLE", "ALLOW_ANONYMOUS_WS"),
    "ISSUE_JWT",
    *("DATABASE_URL", "NODE_ENV", "HOST", "TRUSTED_PROXIES", "CLIENT_ADDRESS_HEADER"),
    *("REQUIRE_EMAIL_VERIFICATION", "SMTP_URL", "MAIL_FROM"),
)


Credential = Literal["cookie", "jwt"]


class MigrationFailed(RuntimeError):
    """The message is the output of the command."""


def migrate(dsn: str, *names: str) -> str:
    """Applies the wheel's migrations with the command-line tool, and returns its output."""
    done = subprocess.run(
        [sys.executable, "-m", "auth_middleware", "migrate", *names],
        env={**clean(os.environ), "DATABASE_URL": dsn},  # not an argument, which would show the password in `ps`
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise MigrationFailed(done.stdout.rstrip())
    return done.stdout.rstrip()


def build_auth_service(package_dir: Path = AUTH_SERVICE) -> None:
    """`npm run build`, unless it was run since anything changed."""
    built = package_dir / "dist" / "index.js"
    sources = [*package_dir.glob("src/*.ts"), package_dir / "tsconfig.json", package_dir / "package.json"]
    if not built.exists() or built.stat().st_mtime < max(source.stat().st_mtime for source in sources):
        node.npm("run", "build", package_dir=package_dir)


def auth_service(
    port: int, settings: Mapping[str, str], *, package_dir: Path = AUTH_SERVICE, log: TextIO | None = None
) -> ChildProcess:
    """Better Auth on Hono, compiled if necessary. The dependencies of `package_dir` must be installed."""
    build_auth_service(package_dir)
    return ChildProcess(
        "auth-service",
        [node.node(), package_dir / "dist" / "index.js"],
        cwd=package_dir,
        env={**clean(node.environment()), "NODE_ENV": "development", **settings, "AUTH_PORT": str(port)},
        log=log,
    )


def backend(port: int, settings: Mapping[str, str], *, log: TextIO | None = None) -> ChildProcess:
    """The FastAPI application. It logs warnings and errors, but not each request."""
    address = ["--host", "127.0.0.1", "--port", str(port)]
    return ChildProcess(
        "backend",
        [sys.executable, "-m", "uvicorn", "main:app", *address, "--log-level", "warning"],
        cwd=BACKEND,
        env={**clean(os.environ), **settings},
        log=log,
    )


def build_frontend(directory: Path, *, auth_url: str, api_url: str, credential: Credential = "cookie") -> None:
    """Builds the page into `directory`. The services' URLs, and what it presents to the API, become part of it."""
    node.install(FRONTEND)
    settings = {
        "VITE_AUTH_URL": auth_url,
        "VITE_API_BASE_URL": api_url,
        "VITE_WEBSOCKET_URL": f"ws{api_url.removeprefix('http')}/ws",
        "VITE_CREDENTIAL": credential,
    }
    done = subprocess.run(
        [*_vite(), "build", "--outDir", directory, "--emptyOutDir", "--logLevel", "warn"],
        cwd=FRONTEND,
        env={**clean(node.environment()), **settings},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"building the frontend failed:\n{done.stdout}")


def frontend(port: int, built: Path, *, log: TextIO | None = None) -> ChildProcess:
    """Serves the output of `build_frontend`."""
    return ChildProcess(
        "frontend",
        [*_vite(), "preview", "--outDir", built, "--port", str(port), "--strictPort", "--logLevel", "warn"],
        cwd=FRONTEND,
        env=clean(node.environment()),
        log=log,
    )


def clean(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without variables that configure the services."""
    return {name: value for name, value in environment.items() if not name.startswith(OUR_SETTINGS)}


def _vite() -> list[Path]:
    return [node.node(), FRONTEND / "node_modules" / "vite" / "bin" / "vite.js"]
