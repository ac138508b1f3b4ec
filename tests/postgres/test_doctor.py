"""Wrong configurations, each of which the doctor names by its cause, with its fix, and without any secret."""

import base64
import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import pytest

from dev import stack
from dev.cookies import SECRET, new_token, signed
from dev.postgres import EmbeddedPostgres
from dev.processes import free_port
from tests.postgres.conftest import Role
from tests.support.databases import Database, SignedIn
from tests.support.doctor import BASE_URL, COOKIE, Diagnosis, Doctor, doctor, sign_tokens

__all__ = ["doctor"]

OTHER_SECRET = secrets.token_urlsafe(32)
PASSWORD = "pass@word/with?marks"
PUBLIC_DEFAULT = "better-auth-secret-12345678901234567890"
JWKS = 'CREATE TABLE jwks (id text, "publicKey" text, "privateKey" text, "createdAt" timestamptz)'


@dataclass(frozen=True)
class World:
    """A database with somebody who is signed in."""

    database: Database
    ada: SignedIn
    make_role: Callable[..., Role]
    directory: Path

    @property
    def cookie(self) -> str:
        return self.ada.cookie_value

    def address(self, **parts: str) -> str:
        """The database's URL with other parts."""
        url = urlsplit(self.database.dsn)
        user = parts.get("user", url.username or "")
        password = parts.get("password", url.password or "")
        host = parts.get("host", f"{url.hostname}:{url.port}")
        return (
            f"postgresql://{user}:{password}@{host}/{parts.get('database', self.database.name)}{parts.get('query', '')}"
        )

    def role(self, *grants: str) -> str:
        """The URL of a role with these rights."""
        role = self.make_role()
        for grant in grants:
            self.database.execute(f"{grant} TO {role.name}")
        return role.dsn(self.database)

    def write(self, name: str, text: str) -> None:
        (self.directory / name).write_text(text)


Variables = Callable[[World], Mapping[str, str | None]]
Arguments = Callable[[World], list[str]]


def nothing(_: World) -> Mapping[str, str | None]:
    return {}


def no_arguments(_: World) -> list[str]:
    return []


@dataclass(frozen=True)
class Wrong:
    """One wrong configuration: the variables that differ from a good one, and what the doctor says."""

    name: str
    cause: str
    fix: str
    variables: Variables = nothing
    arguments: Arguments = no_arguments
    sql: str = ""
    status: str = "fault"
    hidden: tuple[str, ...] = field(default=())


def given(**variables: str | None) -> Variables:
    return lambda _: variables


def database_url(make: Callable[[World], str], **more: str) -> Variables:
    return lambda world: {"DATABASE_URL": make(world), **more}


def cookie(make: Callable[[World], str]) -> Arguments:
    return lambda world: ["--cookie", make(world)]


def url_safe(value: str) -> str:
    return unquote(value).replace("+", "-").replace("/", "_")


def with_plus_and_slash(world: World) -> str:
    """A good cookie whose signature differs between the two alphabets."""
    while True:
        value = unquote(signed(token := new_token()))
        if "+" in value or "/" in value.partition(".")[2]:
            world.database.execute(f"UPDATE session SET token = '{token}'")
            return value


def snapshot() -> str:
    body: dict[str, Any] = {"session": {"session": {}, "user": {}}, "expiresAt": 1, "signature": "c2ln"}
    return base64.urlsafe_b64encode(json.dumps(body).encode()).decode().rstrip("=")


SETTINGS = [
    Wrong("no secret", "no secret", "Set BETTER_AUTH_SECRET", given(BETTER_AUTH_SECRET=None)),
    Wrong("no database", "DATABASE_URL is not set", "URL of the PostgreSQL database", given(DATABASE_URL=None)),
    Wrong("no base URL", "cookie's name is unknown", "Set BETTER_AUTH_URL", given(BETTER_AUTH_URL=None)),
    Wrong("quoted secret", "BETTER_AUTH_SECRET", "without them", given(BETTER_AUTH_SECRET=f'"{SECRET}"')),
    Wrong("secret in single quotes", "in quotes", "without them", given(BETTER_AUTH_SECRET=f"'{SECRET}'")),
    Wrong("secret with a line end", "white space", "without them", given(BETTER_AUTH_SECRET=f"{SECRET}\n")),
    Wrong("short secret", "fewer than 32", "Set a longer one", given(BETTER_AUTH_SECRET="hunter2-hunter2")),
    Wrong("public secret", "public default", "secret of your own", given(BETTER_AUTH_SECRET=PUBLIC_DEFAULT)),
    Wrong("repeated secret", "can be guessed", "openssl rand", given(BETTER_AUTH_SECRET="ab" * 20), status="warning"),
    Wrong("malformed secrets", "BETTER_AUTH_SECRETS", "", given(BETTER_AUTH_SECRETS="first,second")),
    Wrong(
        "quoted database URL",
        "DATABASE_URL is in quotes",
        "without quotes",
        database_url(lambda w: f'"{w.database.dsn}"'),
    ),
    Wrong(
        "password not escaped",
        "unescaped",
        "percent-encoded",
        database_url(lambda w: w.address(password=PASSWORD)),
        hidden=(PASSWORD, "word/with", "with?marks"),
    ),
    Wrong(
        "database URL of MySQL",
        'scheme "mysql"',
        "postgresql://",
        given(DATABASE_URL="mysql://root:hidden-password@db/app"),
        hidden=("hidden-password",),
    ),
    Wrong(
        "two database hosts",
        "several hosts",
        "only the primary",
        given(DATABASE_URL="postgresql://app:hidden-password@db1,db2/app"),
        hidden=("hidden-password",),
    ),
    Wrong("base URL without scheme", "BETTER_AUTH_URL is not", "https://", given(BETTER_AUTH_URL="auth.example.com")),
    Wrong("quoted base URL", "BETTER_AUTH_URL is in quotes", "without quotes", given(BETTER_AUTH_URL=f"'{BASE_URL}'")),
    Wrong(
        "plain http in production",
        "plain http",
        "https in production",
        given(BETTER_AUTH_URL="http://auth.example.com"),
        status="warning",
    ),
    Wrong("number with letters", "AUTH_MIDDLEWARE_POOL_SIZE", "docs/settings.md", given(AUTH_MIDDLEWARE_POOL_SIZE="a")),
    Wrong("number out of range", "POOL_SIZE) is 0", "a number from 1", given(AUTH_MIDDLEWARE_POOL_SIZE="0")),
    Wrong("columns that are no JSON", "AUTH_MIDDLEWARE_USER_COLUMNS", "", given(AUTH_MIDDLEWARE_USER_COLUMNS="a=b")),
    Wrong(
        "misspelt setting",
        "AUTH_MIDDLEWARE_FRESHNES is not a setting",
        "Did you mean AUTH_MIDDLEWARE_FRESHNESS?",
        given(AUTH_MIDDLEWARE_FRESHNES="live"),
        status="warning",
    ),
    Wrong(
        "two databases",
        "DATABASE_URL and AUTH_MIDDLEWARE_DATABASE_URL are both set and differ",
        "Remove AUTH_MIDDLEWARE_DATABASE_URL",
        given(AUTH_MIDDLEWARE_DATABASE_URL="postgresql://app:hidden-password@db/app"),
        status="warning",
        hidden=("hidden-password",),
    ),
    Wrong(
        "misspelt secret",
        "no secret",
        "BETTER_AUTH_SECERT is set: did you mean BETTER_AUTH_SECRET?",
        given(BETTER_AUTH_SECRET=None, BETTER_AUTH_SECERT=SECRET),
    ),
    Wrong(
        "secret only in .env",
        "no secret",
        "the file .env in the working directory contains BETTER_AUTH_SECRET",
        lambda w: w.write(".env", f"BETTER_AUTH_SECRET={SECRET}") or {"BETTER_AUTH_SECRET": None},
    ),
    Wrong(
        "two secrets",
        "BETTER_AUTH_SECRET and AUTH_SECRET are both set and differ",
        "Remove AUTH_SECRET",
        given(AUTH_SECRET=OTHER_SECRET),
        status="warning",
        hidden=(OTHER_SECRET,),
    ),
    Wrong("unknown freshness", 'FRESHNESS) is "often"', "Use", given(AUTH_MIDDLEWARE_FRESHNESS="often")),
    Wrong("unknown credential", '"cookies"', "Use", given(AUTH_MIDDLEWARE_CREDENTIALS="cookies")),
    Wrong("unsigned without bearer", "bearer_unsigned", "Add it", given(AUTH_MIDDLEWARE_BEARER_UNSIGNED="true")),
    Wrong("unknown time zone", "DATABASE_TIME_ZONE", "", given(AUTH_MIDDLEWARE_DATABASE_TIME_ZONE="Mars/Olympus")),
    Wrong("pattern for everybody", "trusted_origins", "", given(BETTER_AUTH_TRUSTED_ORIGINS="https://*")),
    Wrong(
        "origin with a path",
        "never match",
        "",
        given(BETTER_AUTH_TRUSTED_ORIGINS="https://app.example.com/"),
        status="warning",
    ),
    Wrong(
        "no jwks over http",
        "NEON_AUTH_BASE_URL",
        "Set it",
        given(BETTER_AUTH_SECRET=None, BETTER_AUTH_URL=None, NEON_AUTH_BASE_URL="http://neon.example/auth"),
    ),
    Wrong(
        "live for tokens only",
        "JWT_FRESHNESS",
        "Set freshness",
        given(AUTH_MIDDLEWARE_CREDENTIALS="cookie,jwt", AUTH_MIDDLEWARE_JWT_FRESHNESS="live"),
    ),
    Wrong(
        "no certificate file",
        "sslrootcert",
        "",
        database_url(lambda w: w.address(query="?sslmode=verify-full&sslrootcert=/nowhere/ca.crt")),
    ),
]

DATABASE = [
    Wrong(
        "nobody listens",
        "no connection to database",
        "Is the server running",
        database_url(lambda w: w.address(host=f"127.0.0.1:{free_port()}")),
    ),
    Wrong(
        "wrong password",
        "password authentication failed",
        "Correct the user or the password",
        database_url(lambda w: w.address(password="not-the-password")),
        hidden=("not-the-password",),
    ),
    Wrong(
        "no such database", "does not exist", "Correct the name", database_url(lambda w: w.address(database="nowhere"))
    ),
    Wrong(
        "no TLS", "no connection to database", "sslmode", database_url(lambda w: w.address(query="?sslmode=require"))
    ),
    Wrong("no right to read", "may not be read", "GRANT SELECT ON", database_url(lambda w: w.role())),
    Wrong(
        "no right to one column",
        "may not be read",
        'GRANT SELECT ("token")',
        database_url(
            lambda w: w.role(
                'GRANT SELECT ON "user"',
                "GRANT SELECT (id, user_id, expires_at, ip_address, user_agent, created_at, updated_at) ON session",
            )
        ),
    ),
    Wrong("no tables", "no table session", "migration run", sql='DROP TABLE session; DROP TABLE "user" CASCADE'),
    Wrong(
        "tables in another schema",
        "no table session",
        "Set AUTH_MIDDLEWARE_SCHEMA",
        sql='CREATE SCHEMA auth; ALTER TABLE session SET SCHEMA auth; ALTER TABLE "user" SET SCHEMA auth',
    ),
    Wrong(
        "schema is closed to us",
        "may not use schema",
        "GRANT USAGE ON SCHEMA",
        lambda w: {
            "DATABASE_URL": w.role("GRANT SELECT ON auth.session", 'GRANT SELECT ON auth."user"'),
            "AUTH_MIDDLEWARE_SCHEMA": "auth",
        },
        sql='CREATE SCHEMA auth; ALTER TABLE session SET SCHEMA auth; ALTER TABLE "user" SET SCHEMA auth',
    ),
    Wrong(
        "tables of two owners",
        "different owners",
        "ALTER TABLE",
        sql="CREATE ROLE IF_OWNER; ALTER TABLE session OWNER TO IF_OWNER",
    ),
    Wrong(
        "renamed table", "no table session", "AUTH_MIDDLEWARE_SESSION_TABLE", sql="ALTER TABLE session RENAME TO logins"
    ),
    Wrong(
        "no column",
        "has no column",
        "AUTH_MIDDLEWARE_SESSION_COLUMNS",
        sql="ALTER TABLE session RENAME expires_at TO ends",
    ),
    Wrong(
        "column of another type",
        "which Better Auth does not write",
        "AUTH_MIDDLEWARE_SESSION_COLUMNS",
        sql="ALTER TABLE session ALTER expires_at TYPE text",
    ),
    Wrong(
        "rows are hidden",
        "row-level security hides rows",
        "CREATE POLICY",
        database_url(lambda w: w.role('GRANT SELECT ON "user"', "GRANT SELECT ON session")),
        sql="ALTER TABLE session ENABLE ROW LEVEL SECURITY",
    ),
    Wrong(
        "sessions in Redis", "secondary storage", "storeSessionInDatabase", sql="DELETE FROM session", status="warning"
    ),
    Wrong(
        "sessions in Redis since yesterday",
        "no session row is newer than",
        "storeSessionInDatabase",
        sql="UPDATE session SET created_at = now() - interval '1 day'",
        status="warning",
    ),
    Wrong(
        "every session expired",
        "have expired",
        "Sign in once",
        sql="UPDATE session SET expires_at = now() - interval '1 day'",
        status="note",
    ),
    Wrong(
        "nobody signed up",
        "no users and no sessions",
        "Sign up",
        sql='DELETE FROM session; DELETE FROM "user"',
        status="note",
    ),
    Wrong(
        "another user table",
        "other tables",
        "If you use one of them",
        sql="CREATE TABLE users (id text)",
        status="note",
    ),
]


def of_live(**variables: str) -> Variables:
    return lambda w: (
        (stack.migrate(w.database.dsn, "live") and None) or {"AUTH_MIDDLEWARE_FRESHNESS": "live", **variables}
    )


def live_broken(sql: str) -> Variables:
    """`live` as it was migrated, then changed."""

    def variables(world: World) -> Mapping[str, str]:
        stack.migrate(world.database.dsn, "live")
        [(trigger, table)] = world.database.fetch(
            "SELECT tgname, tgrelid::regclass::text FROM pg_trigger WHERE tgname LIKE 'auth_middleware_%_delete' "
            "AND tgrelid = 'session'::regclass"
        )
        [(function,)] = world.database.fetch(
            "SELECT tgfoid::regproc::text FROM pg_trigger WHERE tgname = %s AND tgrelid = 'session'::regclass", trigger
        )
        world.database.execute(sql.format(trigger=trigger, table=table, function=function))
        return {"AUTH_MIDDLEWARE_FRESHNESS": "live"}

    return variables


MIGRATE = "Run python -m auth_middleware migrate live"
LIVE = [
    Wrong("live without triggers", "no triggers that notify", MIGRATE, given(AUTH_MIDDLEWARE_FRESHNESS="live")),
    Wrong(
        "live with a disabled trigger",
        "is disabled",
        MIGRATE,
        live_broken("ALTER TABLE {table} DISABLE TRIGGER {trigger}"),
    ),
    Wrong(
        "live with a dropped trigger", "there is no trigger", MIGRATE, live_broken("DROP TRIGGER {trigger} ON {table}")
    ),
    Wrong(
        "live of another release",
        "not the one that this version makes",
        MIGRATE,
        live_broken(
            "CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER "
            "SET search_path = pg_catalog, pg_temp AS 'BEGIN RETURN NULL; END'"
        ),
    ),
    Wrong(
        "live listens to another database",
        "was sent and not received",
        "Set AUTH_MIDDLEWARE_LISTEN_DATABASE_URL",
        lambda w: {
            **of_live()(w),
            "AUTH_MIDDLEWARE_LISTEN_DATABASE_URL": w.address(database="postgres"),
            "AUTH_MIDDLEWARE_LOOKUP_TIMEOUT_SECONDS": "1",
        },
    ),
    Wrong(
        "live through a pooler",
        "transaction pooler",
        "AUTH_MIDDLEWARE_LISTEN_DATABASE_URL",
        lambda w: {"DATABASE_URL": w.address(query="?pgbouncer=true"), "AUTH_MIDDLEWARE_FRESHNESS": "live"},
        status="warning",
    ),
    Wrong(
        "live listens with a wrong password",
        "password authentication failed",
        "AUTH_MIDDLEWARE_LISTEN_DATABASE_URL",
        lambda w: {**of_live()(w), "AUTH_MIDDLEWARE_LISTEN_DATABASE_URL": w.address(password="not-the-password")},
        hidden=("not-the-password",),
    ),
]

WITH_JWT = {"AUTH_MIDDLEWARE_CREDENTIALS": "cookie,jwt"}
KEYS = [
    Wrong("no jwks table", "jwks", "migration run", given(**WITH_JWT)),
    Wrong("no key yet", "no key that can be used", "/api/auth/token", given(**WITH_JWT), sql=JWKS, status="warning"),
    Wrong(
        "key of an algorithm that is not verified",
        "cannot be used",
        "keyPairConfig",
        given(**WITH_JWT),
        sql=f"""{JWKS}; INSERT INTO jwks VALUES ('k', '{{"kty":"EC","crv":"P-521","x":"AA","y":"AA"}}', '', now())""",
        status="warning",
    ),
    Wrong(
        "keys cannot be fetched",
        "GET http://localhost",
        "",
        lambda _: {**WITH_JWT, "AUTH_MIDDLEWARE_JWKS_URL": f"http://localhost:{free_port()}/api/auth/jwks"},
    ),
]

TOKEN = "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF"
COOKIES = [
    Wrong(
        "other secret",
        "signed with another secret",
        "prints its fingerprint",
        arguments=cookie(lambda w: signed(w.ada.token, OTHER_SECRET)),
    ),
    Wrong(
        "secret in quotes at the server",
        "our secret in double quotes",
        "without quotes",
        arguments=cookie(lambda w: signed(w.ada.token, f'"{SECRET}"')),
    ),
    Wrong(
        "no secret at the server",
        "public default",
        "none is set there",
        arguments=cookie(lambda w: signed(w.ada.token, PUBLIC_DEFAULT)),
    ),
    Wrong(
        "secret of AUTH_SECRET",
        "the value of AUTH_SECRET",
        "Set BETTER_AUTH_SECRET",
        given(AUTH_SECRET=OTHER_SECRET),
        cookie(lambda w: signed(w.ada.token, OTHER_SECRET)),
        hidden=(OTHER_SECRET,),
    ),
    Wrong(
        "rotated secret",
        "signed with a previous secret",
        "AUTH_MIDDLEWARE_PREVIOUS_SECRETS",
        given(BETTER_AUTH_SECRETS=f"2:{SECRET},1:{OTHER_SECRET}"),
        cookie(lambda w: signed(w.ada.token, OTHER_SECRET)),
        hidden=(OTHER_SECRET,),
    ),
    Wrong(
        "previous secret that is accepted",
        "signed with a previous secret",
        "Sign in again",
        given(AUTH_MIDDLEWARE_PREVIOUS_SECRETS=OTHER_SECRET),
        cookie(lambda w: signed(w.ada.token, OTHER_SECRET)),
        status="note",
        hidden=(OTHER_SECRET,),
    ),
    Wrong("session_data", "this is session_data", "session_token", arguments=cookie(lambda _: snapshot())),
    Wrong("bare token", "it is the bare token", "token.signature", arguments=cookie(lambda w: w.ada.token)),
    Wrong("base64url", "base64url", "standard base64", arguments=cookie(lambda w: url_safe(with_plus_and_slash(w)))),
    Wrong(
        "no padding",
        "lacks the padding",
        "Copy the whole value",
        arguments=cookie(lambda w: unquote(w.cookie).rstrip("=")),
    ),
    Wrong("encoded twice", "encoded twice", "encode nothing again", arguments=cookie(lambda w: quote(w.cookie))),
    Wrong("in single quotes", "has quotes", "without quotes", arguments=cookie(lambda w: f"'{w.cookie}'")),
    Wrong("cut off", "cut off", "Copy the whole value", arguments=cookie(lambda w: unquote(w.cookie)[:-9])),
    Wrong("no cookie at all", "not a signed token", "developer tools", arguments=cookie(lambda _: "what is this?")),
    Wrong("empty", "it is empty", "", arguments=cookie(lambda _: f"{COOKIE}=; a=b")),
    Wrong("dont_remember", "not the session cookie", "session_token", arguments=cookie(lambda _: signed("true"))),
    Wrong(
        "other prefix",
        "another prefix",
        "AUTH_MIDDLEWARE_COOKIE_PREFIX=shop",
        arguments=cookie(lambda w: f"__Secure-shop.session_token={w.cookie}"),
    ),
    Wrong(
        "other name",
        "another prefix",
        "AUTH_MIDDLEWARE_COOKIE_NAME=my_session_token",
        arguments=cookie(lambda w: f"Cookie: a=b; __Secure-my_session_token={w.cookie}"),
    ),
    Wrong(
        "http at the server",
        "does not begin with __Secure-",
        "which is http",
        arguments=cookie(lambda w: f"theme=dark; better-auth.session_token={w.cookie}"),
    ),
    Wrong(
        "https at the server",
        "which begins with __Secure-",
        "which is https",
        given(BETTER_AUTH_URL="http://localhost:3000"),
        cookie(lambda w: f"{COOKIE}={w.cookie}"),
    ),
    Wrong(
        "session_data alone in the header",
        "this is session_data (__Secure-better-auth.session_data)",
        COOKIE,
        arguments=cookie(lambda _: f"__Secure-better-auth.session_data={snapshot()}; a=b"),
    ),
    Wrong(
        "two cookies of one name",
        "the first one decides; number 2 would be good",
        "another Path or Domain",
        arguments=cookie(lambda w: f"{COOKIE}=old.value; {COOKIE}={w.cookie}"),
    ),
    Wrong(
        "other cookies only", "no cookie has the name", "credentials", arguments=cookie(lambda _: "theme=dark; lang=en")
    ),
    Wrong(
        "multi-session cookie",
        "multi-session",
        "whole Cookie header",
        arguments=cookie(lambda w: f"{COOKIE}_multi-{w.ada.token}={w.cookie}; a=b"),
    ),
    Wrong(
        "JWT as a cookie",
        "this is a JWT",
        "doctor --token",
        arguments=cookie(lambda _: "eyJhbGciOiJFZERTQSJ9.e30.c2ln"),
    ),
    Wrong(
        "no row", "no session row has its token", "storeSessionInDatabase", arguments=cookie(lambda _: signed(TOKEN))
    ),
    Wrong(
        "expired",
        "expired",
        "Sign in again",
        arguments=cookie(lambda w: w.cookie),
        sql="UPDATE session SET expires_at = now() - interval '1 s'",
    ),
    Wrong(
        "banned",
        "its user is banned",
        "Lift the ban",
        arguments=cookie(lambda w: w.cookie),
        sql='ALTER TABLE "user" ADD banned boolean NOT NULL DEFAULT true',
    ),
    Wrong(
        "user is gone",
        "the row of its user is gone",
        "Sign up again",
        arguments=cookie(lambda w: w.cookie),
        sql='ALTER TABLE session DROP CONSTRAINT session_user_id_fkey; DELETE FROM "user"',
    ),
    Wrong(
        "cookies are not accepted",
        "cookies are not read",
        "AUTH_MIDDLEWARE_CREDENTIALS=cookie,",
        given(AUTH_MIDDLEWARE_CREDENTIALS="bearer"),
        cookie(lambda w: w.cookie),
    ),
]


def header(make: Callable[[World], str]) -> Arguments:
    return lambda world: [part for line in make(world).splitlines() for part in ("--header", line)]


BOTH = given(AUTH_MIDDLEWARE_CREDENTIALS="cookie,bearer")
HEADERS = [
    Wrong(
        "no bearer kind",
        "an Authorization header is not read",
        "AUTH_MIDDLEWARE_CREDENTIALS=cookie,bearer",
        arguments=header(lambda w: f"Authorization: Bearer {w.cookie}"),
    ),
    Wrong("Basic", "its scheme is Basic", "Bearer", BOTH, header(lambda _: "Authorization: Basic YTpi")),
    Wrong(
        "no scheme", "no scheme before the token", "Bearer TOKEN", BOTH, header(lambda w: f"authorization: {w.cookie}")
    ),
    Wrong(
        "bare bearer token",
        "it is not signed",
        "set-auth-token",
        BOTH,
        header(lambda w: f"Authorization: Bearer {w.ada.token}"),
    ),
    Wrong(
        "bearer token of another secret",
        "another secret",
        "fingerprint",
        BOTH,
        header(lambda w: f"Authorization: Bearer {signed(w.ada.token, OTHER_SECRET)}"),
    ),
    Wrong(
        "quoted bearer token",
        "a token has no quotes",
        "nothing else",
        BOTH,
        header(lambda w: f'Authorization: Bearer "{w.cookie}"'),
    ),
    Wrong(
        "two headers",
        "2 Authorization headers",
        "Send one",
        BOTH,
        header(lambda w: f"Authorization: Bearer {w.cookie}\nAuthorization: Bearer {w.cookie}"),
    ),
    Wrong(
        "API key", "no header carries a credential", "Cookie or Authorization", BOTH, header(lambda _: "x-api-key: abc")
    ),
    Wrong("not a header", "not a header", "with its name", BOTH, header(lambda _: "abcdef")),
]

WRONG = [*SETTINGS, *DATABASE, *LIVE, *KEYS, *COOKIES, *HEADERS]


@pytest.fixture
def world(database: Database, make_role: Callable[..., Role], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    # Where no .env file is.
    monkeypatch.chdir(tmp_path)
    return World(database, database.sign_in(), make_role, tmp_path)


def good(world: World) -> dict[str, str | None]:
    return {"DATABASE_URL": world.database.dsn, "BETTER_AUTH_SECRET": SECRET, "BETTER_AUTH_URL": BASE_URL}


def assert_hides(diagnosis: Diagnosis, world: World, *hidden: str) -> None:
    """Neither form of the report shows a secret, a password or a credential."""
    password = urlsplit(world.database.dsn).password
    assert password
    for printed in (diagnosis.printed, diagnosis.text):
        for secret in (
            SECRET,
            password,
            world.ada.token,
            world.cookie,
            unquote(world.cookie).partition(".")[2],
            *hidden,
        ):
            assert secret not in printed


def test_a_good_configuration_has_no_fault_and_no_warning(doctor: Doctor, world: World) -> None:
    diagnosis = doctor(good(world))
    assert diagnosis.status == 0
    assert {finding["status"] for finding in diagnosis.findings} == {"ok", "note"}
    assert {finding["area"] for finding in diagnosis.findings} >= {
        "settings",
        "secret",
        "session cookie",
        "origins",
        "database",
        "tables",
        "freshness",
    }
    assert_hides(diagnosis, world)


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.name)
def test_each_wrong_configuration_is_named_by_its_cause_with_its_fix(
    doctor: Doctor, world: World, postgres: EmbeddedPostgres, wrong: Wrong
) -> None:
    if wrong.sql:
        # Roles are the cluster's: a name for each run.
        world.database.execute(
            wrong.sql.replace("IF_OWNER", f"owner_{secrets.token_hex(4)}" if "IF_OWNER" in wrong.sql else "")
        )
    variables = {**good(world), **wrong.variables(world)}
    diagnosis = doctor(variables, *wrong.arguments(world))
    assert postgres, "the cluster runs"

    found = diagnosis.find(wrong.status, wrong.cause)
    assert found, f"{wrong.cause!r} is not among {diagnosis.findings}"
    assert wrong.fix in (found[0]["fix"] or ""), found
    assert all(finding["fix"] for finding in diagnosis.findings if finding["status"] != "ok")
    assert diagnosis.status == (1 if diagnosis.faults else 0)
    assert (wrong.status == "fault") == bool(diagnosis.faults), diagnosis.faults
    assert_hides(diagnosis, world, *wrong.hidden)


def test_the_table_has_as_many_causes_as_it_promises() -> None:
    assert len({wrong.name for wrong in WRONG}) == len(WRONG)
    assert len({(wrong.cause, wrong.fix) for wrong in WRONG}) >= 75


def test_a_good_cookie_is_accepted_as_a_value_and_in_a_header(doctor: Doctor, world: World) -> None:
    for pasted in (world.cookie, unquote(world.cookie), f"a=b; {COOKIE}={world.cookie}", f'{COOKIE}="{world.cookie}"'):
        diagnosis = doctor(good(world), "--cookie", pasted)
        assert diagnosis.status == 0, diagnosis.findings
        assert diagnosis.find("ok", f"the API accepts it: it is the user {world.ada.user_id}")
        assert_hides(diagnosis, world)


def test_a_good_bearer_token_is_accepted(doctor: Doctor, world: World) -> None:
    variables = {**good(world), "AUTH_MIDDLEWARE_CREDENTIALS": "bearer"}
    diagnosis = doctor(variables, "--header", f"Authorization: bearer {world.cookie}")
    assert diagnosis.status == 0, diagnosis.findings
    bare = doctor(
        {**variables, "AUTH_MIDDLEWARE_BEARER_UNSIGNED": "1"}, "--header", f"Authorization: Bearer {world.ada.token}"
    )
    assert bare.status == 0, bare.findings
    for accepted in (diagnosis, bare):
        assert_hides(accepted, world)


def test_every_wrong_setting_is_reported_at_once(doctor: Doctor, world: World) -> None:
    diagnosis = doctor({"AUTH_MIDDLEWARE_POOL_SIZE": "many", "AUTH_MIDDLEWARE_FRESHNESS": "often"})
    assert len(diagnosis.faults) == 5, diagnosis.faults
    assert world, "in a directory without .env"


def test_a_wrong_setting_does_not_hide_what_is_wrong_elsewhere(doctor: Doctor, world: World) -> None:
    world.database.execute("ALTER TABLE session RENAME TO logins")
    diagnosis = doctor({**good(world), "BETTER_AUTH_SECRET": None})
    assert diagnosis.find("fault", "no secret")
    assert diagnosis.find("fault", "no table session")


def test_each_setting_says_where_it_came_from(doctor: Doctor, world: World) -> None:
    variables = {
        **good(world),
        "BETTER_AUTH_SECRET": None,
        "AUTH_SECRET": SECRET,
        "FRONTEND_URL": "https://app.example.com",
    }
    by_name = {item["name"]: item for item in doctor(variables).report["settings"]}
    sources = {name: item["source"] for name, item in by_name.items()}
    assert (sources["database_url"], sources["secret"]) == ("DATABASE_URL", "AUTH_SECRET")
    assert (sources["trusted_origins"], sources["base_url"]) == ("FRONTEND_URL", "BETTER_AUTH_URL")
    assert (sources["pool_size"], by_name["pool_size"]["value"]) == ("default", "2")

    neon = doctor({"NEON_AUTH_BASE_URL": "https://ep-x.neon.example/neondb/auth", "DATABASE_URL": world.database.dsn})
    by_name = {item["name"]: item for item in neon.report["settings"]}
    assert by_name["neon_auth_base_url"]["source"] == "NEON_AUTH_BASE_URL"
    assert by_name["credentials"] == {"name": "credentials", "value": "jwt", "source": "preset of NEON_AUTH_BASE_URL"}
    assert by_name["jwks_url"]["value"].endswith("/neondb/auth/.well-known/jwks.json")
    assert by_name["schema"]["value"] == "neon_auth"


def test_live_is_proven_by_a_real_notification(doctor: Doctor, world: World) -> None:
    stack.migrate(world.database.dsn, "live")
    diagnosis = doctor({**good(world), "AUTH_MIDDLEWARE_FRESHNESS": "live"})
    assert diagnosis.status == 0
    assert diagnosis.find("ok", "a notification was sent and received")


class Tokens:
    """A key of the issuer in the jwks table, and tokens that it signed."""

    def __init__(self, world: World) -> None:
        now = int(time.time())
        self.header: dict[str, Any] = {"alg": "EdDSA", "kid": "key-1"}
        self.claims: dict[str, Any] = {
            "iss": BASE_URL,
            "aud": BASE_URL,
            "sub": world.ada.user_id,
            "id": world.ada.user_id,
            "iat": now,
            "exp": now + 900,
        }
        self.world = world

    def make(self, *changes: tuple[dict[str, Any], dict[str, Any]]) -> list[str]:
        """Tokens with a changed header or changed claims; None leaves a member out."""

        def changed(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
            return {name: value for name, value in (base | change).items() if value is not None}

        pairs = [(changed(self.header, header), changed(self.claims, claims)) for header, claims in changes]
        jwk, tokens = sign_tokens(pairs)
        self.world.database.execute(f"{JWKS}; INSERT INTO jwks VALUES ('key-1', '{jwk}', 'private', now())")
        return tokens


JWTS: list[tuple[dict[str, Any], dict[str, Any], str, str]] = [
    ({"kid": "key-2"}, {}, "its kid key-2 is unknown", "AUTH_MIDDLEWARE_JWKS_URL"),
    ({"kid": None}, {}, "no kid", "authClient.token()"),
    ({"alg": "none"}, {}, "its alg is none", "authClient.token()"),
    ({"alg": "HS256"}, {}, "its alg is HS256", "session_data"),
    ({"alg": "ES512"}, {}, "its alg is ES512", "keyPairConfig"),
    ({"alg": "ES256"}, {}, "its key is for EdDSA", "authClient.token()"),
    ({"typ": "at+jwt"}, {}, "an OAuth access token", "authClient.token()"),
    ({"typ": "better-auth.session-cache+jwt"}, {}, "session_data", "authClient.token()"),
    ({"crit": ["x"]}, {}, "its header has crit", "authClient.token()"),
    ({}, {"exp": 1_700_000_000}, "it has expired: exp is 2023-11-14", "Request a new token"),
    ({}, {"exp": None}, "no exp", "jwt.expirationTime"),
    ({}, {"nbf": 4_000_000_000}, "its nbf is", "NTP"),
    ({}, {"iat": 4_000_000_000}, "its iat is", "NTP"),
    ({}, {"iss": "https://other.example"}, "its iss is https://other.example", "AUTH_MIDDLEWARE_JWT_ISSUER"),
    ({}, {"aud": ["a", "b"]}, "its aud is a, b", "AUTH_MIDDLEWARE_JWT_AUDIENCE"),
    ({}, {"sub": None}, "no sub", "jwt.getSubject"),
    ({}, {"id": "somebody else"}, "its sub and its id differ", "jwt.getSubject"),
]


def test_each_wrong_jwt_is_named_by_its_cause_with_its_fix(doctor: Doctor, world: World) -> None:
    tokens = Tokens(world).make(*((header, claims) for header, claims, _, _ in JWTS))
    for token, (_, _, cause, fix) in zip(tokens, JWTS, strict=True):
        diagnosis = doctor({**good(world), **WITH_JWT}, "--token", token)
        found = diagnosis.find("fault", cause)
        assert found, f"{cause!r} is not among {diagnosis.faults}"
        assert fix in found[0]["fix"]
        assert diagnosis.status == 1
        assert diagnosis.find("fault", "401"), "the engine refuses it too"
        assert_hides(diagnosis, world, token, *(part for part in token.split(".") if len(part) > 40))


def test_other_wrong_jwts_are_named_too(doctor: Doctor, world: World) -> None:
    token, other = Tokens(world).make(({}, {}), ({}, {"name": "Eve"}))
    forged = f"{token.rpartition('.')[0]}.{other.rpartition('.')[2]}"
    for pasted, variables, cause in [
        (forged, WITH_JWT, "the signature is wrong"),
        (token, {}, "JWTs are not accepted"),
        (f"Bearer {token}", WITH_JWT, "it begins with Bearer"),
        (token.partition(".")[2], WITH_JWT, "not a JWT"),
        (token[2:], WITH_JWT, "not JSON"),
        (f"{token}.x.y", WITH_JWT, "encrypted"),
        (world.ada.token, WITH_JWT, "three parts"),
    ]:
        diagnosis = doctor({**good(world), **variables}, "--token", pasted)
        assert diagnosis.find("fault", cause), f"{cause!r} is not among {diagnosis.faults}"
        assert diagnosis.status == 1
    world.database.execute('ALTER TABLE "user" ADD banned boolean NOT NULL DEFAULT true')
    assert doctor({**good(world), **WITH_JWT}, "--token", token).find("fault", "its user is banned")


def test_a_good_jwt_is_accepted_as_a_token_and_in_a_header(doctor: Doctor, world: World) -> None:
    [token] = Tokens(world).make(({}, {}))
    for arguments in (["--token", token], ["--header", f"Authorization: Bearer {token}"]):
        diagnosis = doctor({**good(world), **WITH_JWT}, *arguments)
        assert diagnosis.status == 0, diagnosis.faults
        assert diagnosis.find("ok", f"it is the user {world.ada.user_id}")
        assert_hides(diagnosis, world, token)


PIECES = ("Kx7Qz9Lm", "Vb3Nn8Pp", "Tt5Rr2Ww")
PLACES = (
    "{scheme}://user:{password}@127.0.0.1:1/db",
    "'{scheme}://user:{password}@127.0.0.1:1/db'",
    "{scheme}://user:{password}@h1,h2/db",
    "{scheme}//user:{password}@h/db",
    "{scheme}:user:{password}@h/db",
    "{scheme}://user@h/db?password={password}&x=1",
)
URL_SETTINGS = {
    "DATABASE_URL": "postgresql",
    "AUTH_MIDDLEWARE_LISTEN_DATABASE_URL": "postgresql",
    "BETTER_AUTH_URL": "https",
    "BETTER_AUTH_TRUSTED_ORIGINS": "https",
    "AUTH_MIDDLEWARE_JWKS_URL": "https",
    "AUTH_MIDDLEWARE_JWT_ISSUER": "https",
    "AUTH_MIDDLEWARE_JWT_AUDIENCE": "https",
}


@pytest.mark.parametrize("variable", URL_SETTINGS)
def test_no_piece_of_a_password_is_shown_wherever_a_reader_would_cut_it(
    doctor: Doctor, world: World, variable: str
) -> None:
    assert world, "in a directory without .env"
    for number, mark in enumerate("@/?#:&=%[]{}|^ ,;!'\"`.-"):
        password = f"{PIECES[0]}{mark}{PIECES[1]}{mark}{PIECES[2]}"
        place = PLACES[number % len(PLACES)]
        variables = {
            "DATABASE_URL": "postgresql://app:unused@127.0.0.1:1/app",
            "BETTER_AUTH_SECRET": SECRET,
            "BETTER_AUTH_URL": BASE_URL,
            "AUTH_MIDDLEWARE_CREDENTIALS": "cookie,jwt",
            "AUTH_MIDDLEWARE_FRESHNESS": "live",
            variable: place.format(scheme=URL_SETTINGS[variable], password=password),
        }
        diagnosis = doctor(variables)
        printed = (diagnosis.printed + diagnosis.text).lower()
        shown = [piece for piece in PIECES if piece.lower() in printed]
        assert not shown, (variables[variable], shown)


def test_no_credential_is_shown_wherever_it_stands(doctor: Doctor, world: World) -> None:
    value = unquote(world.cookie)
    for pasted in (
        f"{world.ada.token}__Secure-better-auth.session_token=x",
        f"{value}; Path=/",
        f"; {world.cookie}={world.cookie}",
        f"{COOKIE}: {world.cookie}",
        f'curl "{COOKIE}={value}"',
        f"{world.ada.token}\x1b[31m.session_data=\u2028",
        f"{world.ada.token}\x00={value[:50]}",
    ):
        for option in ("--cookie", "--token", "--header"):
            diagnosis = doctor({**good(world), **WITH_JWT}, f"{option}={pasted}")
            assert_hides(diagnosis, world)
            assert "\x1b" not in diagnosis.text


def test_bytes_that_are_no_text_are_a_finding(doctor: Doctor, world: World) -> None:
    broken = doctor({**good(world), "BETTER_AUTH_SECRET": "\udcff" * 40})
    assert broken.find("fault", "BETTER_AUTH_SECRET is not UTF-8")
    assert doctor(good(world), "--cookie", f"{world.ada.token}.\udcff").find("fault", "not a signed token")
