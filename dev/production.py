"""The example in production shape, as processes behind Caddy: for `make demo-production` and for tests.

The commands are those of deploy/*.Dockerfile and deploy/compose.yaml; only addresses and files are of this machine.

    with MailServer() as mail, Production(dsn, mail.url) as production:
        production.request("GET", f"{production.api_url}/api/me")

Host names end in .localhost, for which Caddy is its own certificate authority.
"""

import base64
import json
import os
import re
import secrets
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO, cast

import httpx
import yaml
from dotenv import dotenv_values

from dev import node, stack
from dev.processes import ChildProcess, free_port

DEPLOY = stack.EXAMPLE / "deploy"
DOMAIN = "orchestrator.localhost"
# Of the Dockerfiles' programs, where they are here.
PROGRAMS = {"node": str(node.node()), "python": sys.executable}


class Production:
    """Everything at https://orchestrator.localhost:PORT, or at its subdomains app, auth and api.

    `settings` are added to those that compose.yaml gives the services, `trusted_pages` to FRONTEND_URL.
    `package_dir` is another auth service's folder.
    """

    def __init__(
        self,
        dsn: str,
        smtp_url: str,
        *,
        subdomains: bool = False,
        settings: Mapping[str, str] | None = None,
        trusted_pages: Sequence[str] = (),
        package_dir: Path = stack.AUTH_SERVICE,
        https_port: int | None = None,
        log: TextIO | None = None,
    ) -> None:
        self.dsn = dsn
        self._smtp_url = smtp_url
        self._subdomains = subdomains
        self._given_settings = settings or {}
        self._trusted_pages = trusted_pages
        self._package_dir = package_dir
        self._log = log
        self._reserved = ExitStack()
        self.https_port = https_port or self._reserve()
        self.http_port, health_port = self._reserve(), self._reserve()
        self._auth_port, self._backend_port = self._reserve(), self._reserve()
        self.page_url = self._url("app")
        self.auth_url = self._url("auth")
        self.api_url = self._url("api")
        self._caddy_settings = {
            "DOMAIN": DOMAIN,
            "PUBLIC_PORT": f":{self.https_port}",
            "HTTP_PORT": str(self.http_port),
            "HTTPS_PORT": str(self.https_port),
            "HEALTH_PORT": str(health_port),
            "AUTH_SERVICE": f"127.0.0.1:{self._auth_port}",
            "BACKEND": f"127.0.0.1:{self._backend_port}",
            "GLOBAL_OPTIONS": "default_bind 127.0.0.1",
        }

    @property
    def socket_url(self) -> str:
        return f"wss{self.api_url.removeprefix('https')}/ws"

    @property
    def insecure_url(self) -> str:
        """The page's address over plain HTTP, which redirects."""
        host = self.page_url.removeprefix("https://").partition(":")[0]
        return f"http://{host}:{self.http_port}"

    @property
    def authority(self) -> Path:
        """The certificate of Caddy's own authority."""
        return self._folder / "data" / "caddy" / "pki" / "authorities" / "local" / "root.crt"

    @property
    def env_file(self) -> Path:
        """As deploy/.env: with the secret that create-secret.sh made."""
        return self._folder / ".env"

    @property
    def page_folder(self) -> Path:
        return self._folder / "page"

    @cached_property
    def ssl(self) -> ssl.SSLContext:
        """Trusts Caddy's authority and nobody else."""
        return ssl.create_default_context(cafile=self.authority)

    def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: object = None
    ) -> httpx.Response:
        # Without a client, which would keep cookies, and without the machine's proxy.
        return httpx.request(method, url, headers=headers, json=body, timeout=30, verify=self.ssl, trust_env=False)

    def handshake(self, headers: Mapping[str, str]) -> int:
        """The status of a WebSocket handshake that is expected to be refused.

        By plain HTTP: over TLS, the thread of websockets' blocking client can wait forever after a refusal.
        """
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
        url = self.socket_url.replace("wss://", "https://", 1)
        return self.request("GET", url, headers={**headers, **upgrade, "Sec-WebSocket-Key": key}).status_code

    def __enter__(self) -> Self:
        self._down = ExitStack()
        try:
            self._start()
        except BaseException:
            self._reserved.close()
            self._down.close()
            raise
        return self

    def _reserve(self) -> int:
        """A free port that nobody else finds free until the services start: building takes a while."""
        port = free_port()
        # Without SO_REUSEADDR, so that a probe by `is_free` fails.
        self._reserved.enter_context(socket.socket()).bind(("127.0.0.1", port))
        return port

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._down.close()

    def _start(self) -> None:
        resolve_localhost()
        self._folder = Path(self._down.enter_context(tempfile.TemporaryDirectory(prefix="production-")))
        subprocess.run([DEPLOY / "create-secret.sh", self.env_file], check=True, stdout=subprocess.DEVNULL)
        secret = dotenv_values(self.env_file)["BETTER_AUTH_SECRET"]
        settings = {
            "DATABASE_URL": self.dsn,
            "BETTER_AUTH_SECRET": secret or "",
            "AUTH_BASE_URL": self.auth_url,
            "FRONTEND_URL": ",".join((self.page_url, *self._trusted_pages)),
            "TRUSTED_PROXIES": "1",
            "SMTP_URL": self._smtp_url,
            "MAIL_FROM": "Orchestrator <no-reply@example.com>",
            **({"COOKIE_DOMAIN": DOMAIN} if self._subdomains else {}),
            **self._given_settings,
        }
        self.migrated = self._migrate(settings)
        stack.build_auth_service(self._package_dir)
        stack.build_frontend(self.page_folder, auth_url=self.auth_url, api_url=self.api_url)
        self._reserved.close()
        self._settings = settings
        self.start_auth_service()
        self.start_backend()
        # Caddy keeps its authority and its configuration there.
        home = {
            "HOME": self._folder,
            "XDG_DATA_HOME": self._folder / "data",
            "XDG_CONFIG_HOME": self._folder / "config",
        }
        folders = {name: str(path) for name, path in home.items()}
        self.caddy = self._run("caddy", DEPLOY / "caddy", self._caddy_settings, PAGE=str(self.page_folder), **folders)
        self.caddy.wait_for_url(f"http://127.0.0.1:{self._caddy_settings['HEALTH_PORT']}/health")
        self.caddy.wait_until(self._answers)

    def start_auth_service(self) -> None:
        """Also again, after `auth_service.stop()`."""
        settings = {"NODE_ENV": "production", "AUTH_PORT": str(self._auth_port)}
        self.auth_service = self._run("auth-service", self._package_dir, self._settings, **settings)
        self.auth_service.wait_for_url(f"http://127.0.0.1:{self._auth_port}/health")

    def start_backend(self) -> None:
        """Also again, after `backend.stop()`."""
        settings = {"UVICORN_PORT": str(self._backend_port), "UVICORN_LOG_LEVEL": "warning"}
        self.backend = self._run("backend", stack.BACKEND, self._settings, **settings)
        self.backend.wait_for_url(f"http://127.0.0.1:{self._backend_port}/health")

    def _migrate(self, settings: Mapping[str, str]) -> str:
        done = subprocess.run(
            here(compose()["services"]["migrate"]["command"]),
            env={**stack.clean(os.environ), **settings},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            raise stack.MigrationFailed(done.stdout.rstrip())
        return done.stdout.rstrip()

    def _run(self, name: str, cwd: Path, settings: Mapping[str, str], **environment: str) -> ChildProcess:
        env = {**stack.clean(node.environment()), **settings, **environment}
        command = command_of(name, subdomains=self._subdomains)
        return self._down.enter_context(ChildProcess(name, here(command), cwd=cwd, env=env, log=self._log))

    def _answers(self) -> bool:
        try:
            urls = (f"{self.page_url}/", f"{self.auth_url}/api/auth/ok", f"{self.api_url}/get_orchestrator")
            return all(self.request("GET", url).status_code == 200 for url in urls)
        except (httpx.HTTPError, OSError):
            return False

    def _url(self, name: str) -> str:
        host = f"{name}.{DOMAIN}" if self._subdomains else DOMAIN
        return f"https://{host}:{self.https_port}"


def caddy() -> str | None:
    """The program, if it is here."""
    return shutil.which("caddy")


def command_of(service: str, *, subdomains: bool = False) -> list[str]:
    """What its container runs."""
    if subdomains and (command := compose("compose.subdomains.yaml")["services"][service].get("command")):
        return command
    dockerfile = (DEPLOY / f"{service}.Dockerfile").read_text()
    [command] = re.findall(r"^CMD (\[.*\])$", dockerfile, re.MULTILINE)
    return json.loads(command)


def compose(name: str = "compose.yaml") -> dict[str, Any]:
    return cast("dict[str, Any]", yaml.safe_load((DEPLOY / name).read_text()))


def here(command: list[str]) -> list[str]:
    return [PROGRAMS.get(command[0], command[0]), *command[1:]]


def resolve_localhost() -> None:
    """Makes every name below .localhost this machine's (RFC 6761), which not every resolver does."""
    original = socket.getaddrinfo
    if getattr(original, "resolves_localhost", False):
        return

    def getaddrinfo(host: Any, *arguments: Any, **options: Any) -> Any:
        is_ours = isinstance(host, str) and host.endswith(".localhost")
        return original("127.0.0.1" if is_ours else host, *arguments, **options)

    vars(getaddrinfo)["resolves_localhost"] = True
    socket.getaddrinfo = getaddrinfo
