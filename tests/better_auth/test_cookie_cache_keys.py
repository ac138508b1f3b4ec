"""The keys of the cookie cache: the jwks table, and rotated secrets."""

import base64
import hashlib
import hmac
import secrets
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import psycopg
import pytest

from auth_middleware import Auth
from dev.better_auth.strategies import TOKEN
from dev.postgres import execute
from tests.better_auth.agreement.instance import BetterAuth, StartBetterAuth, request, until_the_cache_is_used
from tests.support.outcomes import outcome, outcome_by_store


def signed(jar: dict[str, str], secret: str) -> dict[str, str]:
    """The same cookies, with the session token signed by another secret."""
    token = unquote(jar[TOKEN]).partition(".")[0]
    signature = hmac.digest(secret.encode(), token.encode(), hashlib.sha256)
    return {**jar, TOKEN: quote(f"{token}.{base64.b64encode(signature).decode()}", safe="")}


def as_reader(better_auth: BetterAuth, *columns: str) -> str:
    """The DSN of a role that may read sessions, and these columns of the keys."""
    role, password = f"reader_{secrets.token_hex(4)}", secrets.token_hex(8)
    execute(
        better_auth.dsn,
        f"""CREATE ROLE {role} LOGIN PASSWORD '{password}';
        GRANT SELECT ON "user", session TO {role};
        GRANT SELECT ({", ".join(f'"{column}"' for column in columns)}) ON jwks TO {role};""",
    )
    parts = urlsplit(better_auth.dsn)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{role}:{password}@{host}"))


async def test_public_keys_need_no_access_to_private_keys(start_better_auth: StartBetterAuth) -> None:
    better_auth = start_better_auth("jwks")
    jar = better_auth.sign_up()
    reader = as_reader(better_auth, "id", "publicKey", "alg", "expiresAt")
    auth = Auth(better_auth.settings(database_url=reader))
    async with auth.lifespan(None):
        await until_the_cache_is_used(auth, jar)
        assert await outcome(auth, request(jar)) == await outcome_by_store(auth, request(jar))
    with psycopg.connect(reader) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute('SELECT "privateKey" FROM jwks')


async def test_a_new_key_is_loaded_and_the_database_is_queried_until_then(start_better_auth: StartBetterAuth) -> None:
    better_auth = start_better_auth("jwks")
    old = better_auth.sign_up()
    auth = Auth(better_auth.settings())
    async with auth.lifespan(None):
        await until_the_cache_is_used(auth, old)
        execute(better_auth.dsn, """UPDATE jwks SET "expiresAt" = now() - interval '1 second'""")
        new = better_auth.sign_up()
        hits = auth.counters["cookie_cache"]
        from_store = await outcome(auth, request(new))
        assert auth.counters["cookie_cache"] == hits
        await until_the_cache_is_used(auth, new)
        hits = auth.counters["cookie_cache"]
        assert await outcome(auth, request(new)) == from_store
        # Better Auth also accepts what the old key signed.
        assert not isinstance(await outcome(auth, request(old)), str)
        assert auth.counters["cookie_cache"] == hits + 2
        assert better_auth.email_of(old)


async def test_without_access_to_the_keys_the_database_is_queried(start_better_auth: StartBetterAuth) -> None:
    better_auth = start_better_auth("jwks")
    jar = better_auth.sign_up()
    auth = Auth(better_auth.settings(database_url=as_reader(better_auth, "id")))
    async with auth.lifespan(None):
        assert not isinstance(await outcome(auth, request(jar)), str)
    assert auth.counters["cookie_cache"] == 0


@pytest.mark.parametrize("strategy", ["compact", "jwt", "jwe"])
async def test_a_rotated_secret_ends_all_sessions_unless_the_old_one_is_still_accepted(
    strategy: str, start_better_auth: StartBetterAuth
) -> None:
    before = start_better_auth(strategy)
    old = before.sign_up()
    new_secret = secrets.token_urlsafe(32)
    listed = f"2:{new_secret},1:{before.secret}"
    after = start_better_auth(strategy, dsn=before.dsn, secret=None, secrets=listed)
    new = after.sign_up()
    rotated = Auth(after.settings(secret=None, secrets=listed))
    lenient = Auth(after.settings(secret=None, secrets=listed, previous_secrets=(before.secret,)))
    # The same session with its token signed again: only an encrypted cookie names its secret.
    resigned = signed(old, new_secret)
    async with rotated.lifespan(None), lenient.lifespan(None):
        for auth in (rotated, lenient):
            assert not isinstance(await outcome(auth, request(new)), str)
            assert auth.counters["cookie_cache"] == 1
        refused = await outcome(rotated, request(old))
        assert refused == "bad_signature"
        assert not isinstance(await outcome(lenient, request(old)), str)
        assert lenient.counters["cookie_cache"] == 2
        assert not isinstance(await outcome(rotated, request(resigned)), str)
        assert rotated.counters["cookie_cache"] == (2 if strategy == "jwe" else 1)
    assert (after.email_of(old), bool(after.email_of(new)), bool(after.email_of(resigned))) == (None, True, True)
