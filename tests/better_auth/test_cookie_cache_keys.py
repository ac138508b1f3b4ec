"""The keys that open the cookie cache: the shared jwks table, and secrets that are rotated."""

import base64
import hashlib
import hmac
import secrets
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import psycopg
import pytest

from auth_middleware import Auth
from dev.postgres import execute
from tests.better_auth.agreement.neighbours import MeetNeighbour, Neighbour, request, until_the_cache_answers
from tests.better_auth.agreement.servers import TOKEN
from tests.support.outcomes import outcome, outcome_by_store


def signed(jar: dict[str, str], secret: str) -> dict[str, str]:
    """The same cookies, with the session token signed by another secret."""
    token = unquote(jar[TOKEN]).partition(".")[0]
    signature = hmac.digest(secret.encode(), token.encode(), hashlib.sha256)
    return {**jar, TOKEN: quote(f"{token}.{base64.b64encode(signature).decode()}", safe="")}


def as_reader(neighbour: Neighbour, *columns: str) -> str:
    """The DSN of a role that may read sessions, and those columns of the keys."""
    role, password = f"reader_{secrets.token_hex(4)}", secrets.token_hex(8)
    execute(
        neighbour.dsn,
        f"""CREATE ROLE {role} LOGIN PASSWORD '{password}';
        GRANT SELECT ON "user", session TO {role};
        GRANT SELECT ({", ".join(f'"{column}"' for column in columns)}) ON jwks TO {role};""",
    )
    parts = urlsplit(neighbour.dsn)
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{role}:{password}@{place}"))


async def test_public_keys_are_read_by_a_role_that_may_not_read_the_private_ones(meet: MeetNeighbour) -> None:
    neighbour = meet("jwks")
    jar = neighbour.sign_up()
    reader = as_reader(neighbour, "id", "publicKey", "alg", "expiresAt")
    auth = Auth(neighbour.settings(database_url=reader))
    async with auth.lifespan(None):
        await until_the_cache_answers(auth, jar)
        assert await outcome(auth, request(jar)) == await outcome_by_store(auth, request(jar))
    with psycopg.connect(reader) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute('SELECT "privateKey" FROM jwks')


async def test_a_key_that_is_not_known_yet_sends_to_the_store_until_it_is_picked_up(meet: MeetNeighbour) -> None:
    neighbour = meet("jwks")
    old = neighbour.sign_up()
    auth = Auth(neighbour.settings())
    async with auth.lifespan(None):
        await until_the_cache_answers(auth, old)
        execute(neighbour.dsn, """UPDATE jwks SET "expiresAt" = now() - interval '1 second'""")
        new = neighbour.sign_up()
        answered = auth.counters["cookie_cache"]
        from_store = await outcome(auth, request(new))
        assert auth.counters["cookie_cache"] == answered
        await until_the_cache_answers(auth, new)
        answered = auth.counters["cookie_cache"]
        assert await outcome(auth, request(new)) == from_store
        # Better Auth too goes on believing what the old key signed.
        assert not isinstance(await outcome(auth, request(old)), str)
        assert auth.counters["cookie_cache"] == answered + 2
        assert neighbour.names(old)


async def test_a_role_that_may_not_read_the_keys_asks_the_store(meet: MeetNeighbour) -> None:
    neighbour = meet("jwks")
    jar = neighbour.sign_up()
    auth = Auth(neighbour.settings(database_url=as_reader(neighbour, "id")))
    async with auth.lifespan(None):
        assert not isinstance(await outcome(auth, request(jar)), str)
    assert auth.counters["cookie_cache"] == 0


@pytest.mark.parametrize("strategy", ["compact", "jwt", "jwe"])
async def test_a_rotated_secret_ends_every_session_unless_the_old_one_may_still_sign(
    strategy: str, meet: MeetNeighbour
) -> None:
    before = meet(strategy)
    old = before.sign_up()
    new_secret = secrets.token_urlsafe(32)
    listed = f"2:{new_secret},1:{before.secret}"
    after = meet(strategy, dsn=before.dsn, secret=None, secrets=listed)
    new = after.sign_up()
    rotated = Auth(after.settings(secret=None, secrets=listed))
    lenient = Auth(after.settings(secret=None, secrets=listed, previous_secrets=(before.secret,)))
    # The same session, its token signed anew: only an encrypted cookie says which secret it needs.
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
    assert (after.names(old), bool(after.names(new)), bool(after.names(resigned))) == (None, True, True)
