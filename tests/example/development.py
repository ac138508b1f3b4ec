"""The stack in its development shape: three ports of localhost, plain HTTP, each part stopped and started at will."""

import secrets
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from psycopg import sql

from dev import stack
from dev.mail import MailServer
from dev.postgres import EmbeddedPostgres, execute
from dev.processes import ChildProcess, free_port
from tests.example.browser import Links, Stack


class Development:
    """The auth service in `package_dir`, the backend with a database role of its own, and the page.

    With a mail server, addresses have to be confirmed. With the credential "jwt", page and auth service are at
    localhost and the backend is at 127.0.0.1, which is another site: no cookie reaches it, and it would accept none.
    """

    def __init__(
        self,
        postgres: EmbeddedPostgres,
        package_dir: Path,
        mail: MailServer | None,
        ports: Sequence[int],
        credential: stack.Credential,
    ) -> None:
        self._mail = mail
        self.credential: stack.Credential = credential
        self._package_dir = package_dir
        name = f"development_{secrets.token_hex(4)}"
        self._dsn = postgres.create_database(name)
        stack.migrate(self._dsn, "tables", "rate_limit", *(["jwks"] if credential == "jwt" else []))
        self._role = name
        execute(self._dsn, f"CREATE ROLE {name} LOGIN PASSWORD '{name}'; GRANT pg_read_all_data TO {name}")
        parts = urlsplit(self._dsn)
        self._backend_dsn = parts._replace(netloc=f"{name}:{name}@{parts.hostname}:{parts.port}").geturl()
        self._auth_port, self._api_port, self.page_port = ports or (free_port(), free_port(), free_port())
        self.auth_url = f"http://localhost:{self._auth_port}"
        self.api_url = f"http://{'127.0.0.1' if credential == 'jwt' else 'localhost'}:{self._api_port}"
        self.page_url = f"http://localhost:{self.page_port}"
        self._settings = {
            "DATABASE_URL": self._dsn,
            "BETTER_AUTH_SECRET": secrets.token_hex(32),
            "AUTH_BASE_URL": self.auth_url,
            "FRONTEND_URL": self.page_url,
        }
        if credential == "jwt":
            self._settings |= {"ISSUE_JWT": "true", "AUTH_MIDDLEWARE_CREDENTIALS": "jwt,bearer"}
        if mail:
            self._settings |= {
                "SMTP_URL": mail.url,
                "MAIL_FROM": "orchestrator@example.com",
                "REQUIRE_EMAIL_VERIFICATION": "true",
            }
        self._auth_service: ChildProcess | None = None
        self._backend: ChildProcess | None = None

    def start_auth_service(self) -> None:
        self._auth_service = stack.auth_service(self._auth_port, self._settings, package_dir=self._package_dir)
        self._auth_service.wait_for_url(f"{self.auth_url}/health")

    def stop_auth_service(self) -> None:
        if self._auth_service:
            self._auth_service.stop()

    def start_backend(self) -> None:
        self._backend = stack.backend(self._api_port, {**self._settings, "DATABASE_URL": self._backend_dsn})
        self._backend.wait_for_url(f"{self.api_url}/health")

    def stop_backend(self) -> None:
        if self._backend:
            self._backend.stop()

    def stop_database(self) -> None:
        """For the backend alone: its role may not log in any more."""
        execute(self._dsn, f"ALTER ROLE {self._role} NOLOGIN")
        execute(self._dsn, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{self._role}'")

    def start_database(self) -> None:
        execute(self._dsn, f"ALTER ROLE {self._role} LOGIN")

    def withdraw_keys(self) -> None:
        """All that were used so far: the auth service signs with a new one."""
        execute(self._dsn, "DELETE FROM jwks")

    def delete_user(self, address: str) -> None:
        execute(self._dsn, sql.SQL('DELETE FROM "user" WHERE email = {}').format(address))

    def delete_sessions(self, address: str) -> None:
        users = sql.SQL('SELECT id FROM "user" WHERE email = {}').format(address)
        execute(self._dsn, sql.SQL("DELETE FROM session WHERE user_id IN ({})").format(users))

    def as_stack(self) -> Stack:
        actions: dict[str, Callable[..., object]] = {
            "stop backend": self.stop_backend,
            "start backend": self.start_backend,
            "stop database of backend": self.stop_database,
            "start database of backend": self.start_database,
            "stop auth-service": self.stop_auth_service,
            "start auth-service": self.start_auth_service,
            "withdraw keys": self.withdraw_keys,
            "delete user": self.delete_user,
            "delete sessions": self.delete_sessions,
        }
        if self._mail is None:
            return Stack(self.page_url, self.auth_url, self.api_url, actions)
        actions |= {"link": Links(self._mail).next, "stop mail": self._mail.stop, "start mail": self._mail.start}
        return Stack(self.page_url, self.auth_url, self.api_url, actions, frozenset({"confirms-addresses"}))


@contextmanager
def development(
    postgres: EmbeddedPostgres,
    package_dir: Path,
    built: Path,
    mail: MailServer | None = None,
    *,
    ports: Sequence[int] = (),
    credential: stack.Credential = "cookie",
) -> Generator[Stack]:
    """A running one; the page is built into `built`. `ports` are the auth service's, the backend's and the page's."""
    services = Development(postgres, package_dir, mail, ports, credential)
    try:
        services.start_auth_service()
        services.start_backend()
        stack.build_frontend(built, auth_url=services.auth_url, api_url=services.api_url, credential=credential)
        with stack.frontend(services.page_port, built) as frontend:
            frontend.wait_for_url(f"{services.page_url}/")
            yield services.as_stack()
    finally:
        services.stop_backend()
        services.stop_auth_service()
