"""TLS to a real PostgreSQL. The settings have the same meaning as in libpq, which each test compares with."""

import logging
import secrets
import time
import traceback
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from auth_middleware import Auth, AuthSettings, ConfigurationError, StoreUnavailable
from dev.certificates import Authority, Certificate
from dev.cookies import SECRET, signed
from dev.postgres import DEBIAN_15, EmbeddedPostgres, execute, fetch
from dev.sessions import create_tables, sign_in

pytestmark = pytest.mark.needs("postgresql-15")

PLAIN, TLS, REFUSED = "plain", "tls", "refused"
CERTIFICATES = ["good", "other_authority", "other_name", "only_common_name", "expired", "none"]
# The outcome of a connection attempt for each certificate of the server.
OUTCOMES: dict[str, list[str]] = {
    #                            good  other_authority  other_name  only_common_name  expired  none
    "disable":                  [PLAIN, PLAIN,          PLAIN,      PLAIN,            PLAIN,   PLAIN],
    "prefer":                   [TLS,   TLS,            TLS,        TLS,              TLS,     PLAIN],
    "require":                  [TLS,   TLS,            TLS,        TLS,              TLS,     REFUSED],
    "prefer&sslrootcert={}":    [TLS,   REFUSED,        TLS,        TLS,              REFUSED, PLAIN],
    "require&sslrootcert={}":   [TLS,   REFUSED,        TLS,        TLS,              REFUSED, REFUSED],
    "verify-ca&sslrootcert={}": [TLS,   REFUSED,        TLS,        TLS,              REFUSED, REFUSED],
    "verify-full&sslrootcert={}": [TLS, REFUSED,        REFUSED,    REFUSED,          REFUSED, REFUSED],
}  # fmt: skip
# Where we are stricter. libpq's `prefer` falls back to plain text if it rejects the certificate. libpq also accepts a
# common name as a host name, which browsers stopped doing in 2017 and rustls never did.
LIBPQ_ALONE = {
    ("prefer&sslrootcert={}", "other_authority"): PLAIN,
    ("prefer&sslrootcert={}", "expired"): PLAIN,
    ("verify-full&sslrootcert={}", "only_common_name"): TLS,
}


class Server:
    """PostgreSQL 15 with one session, and a choice of certificates."""

    def __init__(self, postgres: EmbeddedPostgres, directory: Path) -> None:
        self.postgres = postgres
        self.authority = Authority(directory / "authority")
        self.other_authority = Authority(directory / "other-authority")
        issue = self.authority.issue
        self.certificates: dict[str, Certificate | None] = {
            "good": issue("good"),
            "other_authority": self.other_authority.issue("good"),
            "other_name": issue("other", ["DNS:db.example"]),
            "only_common_name": issue("localhost", []),
            "only_dns_name": issue("dns", ["DNS:localhost"]),
            "expired": issue("expired", expired=True),
            "none": None,
        }
        create_tables(postgres.dsn())
        [token] = sign_in(postgres.dsn(), ["Ada"])
        self.cookie_value = signed(token)

    def use_certificate(self, name: str) -> None:
        """Makes the server use this certificate for new connections."""
        certificate = self.certificates[name]
        settings = {"ssl": "off"}
        if certificate:
            write = self.postgres.place
            settings = {
                "ssl": "on",
                "ssl_cert_file": str(write(f"{name}.crt", certificate.certificate.read_text())),
                "ssl_key_file": str(write(f"{name}.key", certificate.key.read_text())),
            }
        for setting, value in settings.items():
            execute(self.postgres.dsn(), f"ALTER SYSTEM SET {setting} = '{value}'")
        execute(self.postgres.dsn(), "SELECT pg_reload_conf()")
        deadline = time.monotonic() + 10
        while any(self.setting(setting) != value for setting, value in settings.items()):
            assert time.monotonic() < deadline, "the server did not reload its settings"
            time.sleep(0.01)

    def setting(self, name: str) -> str:
        # On a new connection, because only new backends have the reloaded settings.
        [(value,)] = fetch(self.postgres.dsn(), "SELECT current_setting(%s)", name)
        return str(value)

    def dsn(self, query: str, host: str = "localhost") -> str:
        return f"{self.postgres.dsn().replace('127.0.0.1', host)}?{query.format(self.authority.certificate)}"

    async def outcome(self, dsn: str) -> str:
        """The outcome of a lookup by auth_middleware."""
        mark = f"test-{secrets.token_hex(4)}"
        async with opened(f"{dsn}&application_name={mark}") as auth:
            try:
                identity = await auth.validate_session(self.cookie_value)
            except StoreUnavailable:
                return REFUSED
            assert identity
            assert identity.user.name == "Ada"
            query = "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = %s"
            connections = {is_tls for (is_tls,) in fetch(self.postgres.dsn(), query, mark)}
        assert len(connections) == 1, "some connections used TLS and others did not"
        return TLS if connections == {True} else PLAIN


def outcome_of_libpq(dsn: str) -> str:
    try:
        with psycopg.connect(dsn) as connection:
            return TLS if connection.pgconn.ssl_in_use else PLAIN
    except psycopg.OperationalError:
        return REFUSED


@asynccontextmanager
async def opened(dsn: str) -> AsyncGenerator[Auth[Any, Any]]:
    auth = Auth(AuthSettings(database_url=dsn, secret=SECRET, base_url="http://auth.test"))
    yield auth
    await auth.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    with EmbeddedPostgres(programs=DEBIAN_15) as postgres:
        yield Server(postgres, tmp_path_factory.mktemp("certificates"))


@pytest.mark.parametrize("certificate", CERTIFICATES)
@pytest.mark.parametrize("mode", OUTCOMES)
async def test_sslmode_has_the_same_outcome_as_in_libpq(server: Server, certificate: str, mode: str) -> None:
    server.use_certificate(certificate)
    dsn = server.dsn(f"sslmode={mode}")
    expected = OUTCOMES[mode][CERTIFICATES.index(certificate)]
    assert await server.outcome(dsn) == expected
    assert outcome_of_libpq(dsn) == LIBPQ_ALONE.get((mode, certificate), expected)


@pytest.mark.parametrize(("certificate", "expected"), [("good", TLS), ("only_dns_name", REFUSED)])
async def test_an_ip_address_must_be_in_the_certificate(server: Server, certificate: str, expected: str) -> None:
    server.use_certificate(certificate)
    dsn = server.dsn("sslmode=verify-full&sslrootcert={}", host="127.0.0.1")
    assert await server.outcome(dsn) == outcome_of_libpq(dsn) == expected


@pytest.mark.parametrize("mode", ["sslmode=verify-full&", ""])
async def test_sslrootcert_system_trusts_the_machines_cas_and_checks_the_name(
    server: Server, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    query = f"{mode}sslrootcert=system"
    server.use_certificate("good")
    assert await server.outcome(server.dsn(query)) == REFUSED
    monkeypatch.setenv("SSL_CERT_FILE", str(server.authority.certificate))
    assert await server.outcome(server.dsn(query)) == TLS
    server.use_certificate("other_name")
    assert await server.outcome(server.dsn(query)) == REFUSED


@pytest.mark.parametrize(
    "query",
    [
        "sslmode=verify-ca",
        "sslmode=verify-ca&sslrootcert=system",
        "sslmode=require&sslrootcert=system",
        "sslmode=prefer&sslrootcert=system",
        "sslmode=disable&sslrootcert=system",
    ],
)
def test_a_mode_that_would_accept_any_public_certificate_is_refused_as_by_libpq(
    server: Server, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    server.use_certificate("good")
    monkeypatch.setenv("SSL_CERT_FILE", str(server.authority.certificate))
    settings = AuthSettings(database_url=server.dsn(query), secret=SECRET, base_url="http://auth.test")
    with pytest.raises(ConfigurationError, match="write sslmode=verify-full") as raised:
        Auth(settings)
    assert server.postgres.password not in str(raised.value)
    assert outcome_of_libpq(server.dsn(query)) == REFUSED


async def test_every_ca_in_sslrootcert_is_trusted(server: Server, tmp_path: Path) -> None:
    both = tmp_path / "both.crt"
    both.write_text("".join(a.certificate.read_text() for a in (server.other_authority, server.authority)))
    for certificate in ("good", "other_authority"):
        server.use_certificate(certificate)
        assert await server.outcome(server.dsn(f"sslmode=verify-full&sslrootcert={both}")) == TLS


@pytest.mark.parametrize("content", [None, "", "not a certificate"])
def test_an_unusable_sslrootcert_is_named_in_the_error(server: Server, tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "authority-of-the-database.crt"
    if content is not None:
        path.write_text(content)
    settings = AuthSettings(
        database_url=server.dsn(f"sslmode=verify-full&sslrootcert={path}"), secret=SECRET, base_url="http://auth.test"
    )
    with pytest.raises(ConfigurationError, match="sslrootcert") as raised:
        Auth(settings)
    assert str(path) in str(raised.value)
    assert server.postgres.password not in str(raised.value)


async def test_channel_binding_requires_tls(server: Server) -> None:
    server.use_certificate("good")
    for query, expected in {
        "sslmode=require&channel_binding=require": TLS,
        "sslmode=disable&channel_binding=require": REFUSED,
        "sslmode=disable&channel_binding=prefer": PLAIN,
        "sslmode=require&channel_binding=disable": TLS,
    }.items():
        assert await server.outcome(server.dsn(query)) == outcome_of_libpq(server.dsn(query)) == expected, query
    server.use_certificate("none")
    assert await server.outcome(server.dsn("sslmode=prefer&channel_binding=require")) == REFUSED


@pytest.mark.parametrize("mode", ["disable", "require"])
async def test_a_wrong_password_is_not_in_the_error(
    server: Server, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.use_certificate("good")
    wrong = f"wrong-{secrets.token_hex(8)}"
    dsn = server.dsn(f"sslmode={mode}").replace(server.postgres.password, wrong)
    auth = Auth(AuthSettings(database_url=dsn, secret=SECRET, base_url="http://auth.test"))
    with pytest.raises(ConfigurationError) as at_start:
        await auth.open()
    with pytest.raises(StoreUnavailable) as at_request:
        await auth.validate_session(server.cookie_value)
    await auth.close()
    for raised in (at_start.value, at_request.value):
        message = "".join(traceback.format_exception(raised))
        assert "password authentication failed" in message
        assert wrong not in message + caplog.text + repr(auth) + repr(raised)


async def test_connections_survive_the_renewal_of_the_certificate(server: Server) -> None:
    server.use_certificate("good")
    async with opened(server.dsn("sslmode=verify-full&sslrootcert={}")) as auth:
        assert await auth.validate_session(server.cookie_value)
        server.certificates["renewed"] = server.authority.issue("renewed")
        server.use_certificate("renewed")
        assert await auth.validate_session(server.cookie_value)
        terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'auth_middleware'"
        assert fetch(server.postgres.dsn(), terminate)
        assert await auth.validate_session(server.cookie_value)
