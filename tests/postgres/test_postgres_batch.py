"""Hundreds of concurrent lookups share statements, and each gets its own result."""

import asyncio
import random
import secrets
from collections.abc import Generator

import pytest

from auth_middleware import Auth, Identity
from dev.cookies import new_token, signed
from dev.postgres import EmbeddedPostgres, execute
from dev.postgres_proxies import CountingProxy, counting_proxy
from tests.postgres.conftest import MakeAuthFor
from tests.support import tables
from tests.support.databases import Database
from tests.support.polling import until

ODD_TOKENS = [
    "NULL",
    "null",
    "''; DROP TABLE session; --",
    '"quoted"',
    "back\\slash",
    "{a,b}",
    "a,b",
    "{}",
    "%",
    "_" * 32,
    " leading and trailing ",
    "a.b.c",
    "$1",
    "%41",
    "a+b=c&d;e",
    "ключ",
    "\N{CAT FACE}\N{ZERO WIDTH JOINER}",
    "e\N{COMBINING ACUTE ACCENT}",
    "\N{LATIN SMALL LETTER E WITH ACUTE}",
    "\N{RIGHT-TO-LEFT OVERRIDE}abc",
    "\N{BYTE ORDER MARK}abc",
    "\uffff\U0010ffff",
    "x" * 256,
    "é" * 128,
]


def users(found: list[Identity | None]) -> list[str | None]:
    return [identity and identity.user.id for identity in found]


@pytest.mark.parametrize("prepared", ["on", "off"])
@pytest.mark.parametrize("pool_size", [1, 2, 8])
async def test_each_of_hundreds_of_lookups_gets_its_own_result(
    empty_database: Database, auth_for: MakeAuthFor, pool_size: int, prepared: str
) -> None:
    expected: dict[str, str | None] = {}
    rows = [tables.plain()]
    for number in range(150):
        valid, expired, unknown = new_token(), new_token(), new_token()
        expected |= {valid: f"u{number}", expired: None, unknown: None}
        rows += [tables.person(f"u{number}", valid), tables.person(f"expired{number}", expired)]
    rows += ["UPDATE session SET expires_at = '2020-01-01' WHERE user_id LIKE 'expired%'"]
    empty_database.execute("".join(rows))
    # Many lookups are for the same session at the same time.
    tokens = [*expected, *expected]
    random.shuffle(tokens)
    auth = auth_for(empty_database.dsn, pool_size=pool_size, prepared_statements=prepared)
    found = await asyncio.gather(*(auth.validate_session(signed(token)) for token in tokens))
    assert users(found) == [expected[token] for token in tokens]
    assert all(
        identity is None or identity.session.token == token for identity, token in zip(found, tokens, strict=True)
    )


async def test_tokens_with_unusual_characters_find_their_own_rows(
    empty_database: Database, auth_for: MakeAuthFor
) -> None:
    empty_database.execute(tables.plain())
    for number, token in enumerate(ODD_TOKENS):
        empty_database.execute(tables.person(f"u{number}", token.replace("'", "''")))
    mine = [f"u{number}" for number in range(len(ODD_TOKENS))]
    # With one connection, the first lookup is sent alone, and the others are one batch.
    auth = auth_for(empty_database.dsn, pool_size=1)
    assert users([await auth.validate_session(signed(token)) for token in ODD_TOKENS]) == mine
    assert users(await asyncio.gather(*(auth.validate_session(signed(token)) for token in ODD_TOKENS))) == mine


async def test_tokens_with_unusual_characters_without_rows_have_no_session(
    database: Database, auth_for: MakeAuthFor
) -> None:
    auth = auth_for(database.dsn)
    who = database.sign_in()
    values = [*(signed(token) for token in ODD_TOKENS), who.cookie_value]
    found = await asyncio.gather(*(auth.validate_session(value) for value in values))
    assert users(found) == [*(None for _ in ODD_TOKENS), who.user_id]


@pytest.fixture
def latin_database(postgres: EmbeddedPostgres) -> Generator[Database]:
    """Its encoding has no Cyrillic."""
    name = f"test_{secrets.token_hex(6)}"
    execute(postgres.dsn(), f"CREATE DATABASE {name} ENCODING 'LATIN1' TEMPLATE template0")
    database = Database(postgres.dsn(name))
    database.execute(tables.plain())
    yield database
    postgres.drop_database(name)


async def test_a_token_that_the_database_cannot_encode_does_not_affect_others(
    latin_database: Database, auth_for: MakeAuthFor
) -> None:
    latin_database.execute(tables.person("u1", "n") + tables.person("u2", "plain"))
    latin_database.execute(r"UPDATE session SET token = U&'n\00e9' WHERE user_id = 'u1'")
    auth = auth_for(latin_database.dsn, pool_size=1)
    assert await auth.validate_session(signed("ключ")) is None
    tokens = ["plain", "né", "ключ", "plain", "nobody"]
    found = await asyncio.gather(*(auth.validate_session(signed(token)) for token in tokens))
    assert users(found) == ["u2", "u1", None, "u2", None]


async def test_cancelling_one_request_does_not_affect_its_batch(database: Database, auth_for: MakeAuthFor) -> None:
    everybody = [database.sign_in() for _ in range(40)]
    auth = auth_for(database.dsn, pool_size=1)
    with database.locked():
        tasks = [asyncio.create_task(auth.validate_session(who.cookie_value)) for who in everybody]
        await asyncio.sleep(0.05)
        for each in tasks[::2]:
            each.cancel()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(each, asyncio.CancelledError) for each in found[::2])
    assert [isinstance(each, Identity) and each.user.id for each in found[1::2]] == [
        who.user_id for who in everybody[1::2]
    ]


async def look_up_together(
    auth: Auth, database: Database, proxy: CountingProxy, values: list[str]
) -> tuple[list[Identity | None], int]:
    """The results of one lookup and of those that wait for it, and the number of statements."""
    before = proxy.statements
    with database.locked() as blocked:
        tasks = [asyncio.create_task(auth.validate_session(values[0]))]
        await until(lambda: blocked() == 1)
        tasks += [asyncio.create_task(auth.validate_session(value)) for value in values[1:]]
        await asyncio.sleep(0)
    found = await asyncio.gather(*tasks)
    return found, proxy.statements - before


@pytest.mark.parametrize(("others", "statements"), [(1, 2), (64, 2), (65, 3), (128, 3)])
async def test_waiting_lookups_are_sent_in_statements_of_64_tokens(
    database: Database, auth_for: MakeAuthFor, others: int, statements: int
) -> None:
    who = database.sign_in()
    values = [who.cookie_value, *(signed(new_token()) for _ in range(others - 1)), who.cookie_value]
    with counting_proxy(database.dsn) as proxy:
        auth = auth_for(proxy.dsn, pool_size=1, lookup_timeout_seconds=30)
        assert await auth.validate_session(who.cookie_value)
        found, statements_sent = await look_up_together(auth, database, proxy, values)
    assert users(found) == [who.user_id, *[None] * (others - 1), who.user_id]
    assert statements_sent == statements


async def test_a_value_that_the_server_cannot_read_splits_the_batch(
    empty_database: Database, auth_for: MakeAuthFor
) -> None:
    empty_database.execute(tables.plain(id_type="integer", user_id_type="text"))
    tokens = [new_token() for _ in range(10)]
    for number, token in enumerate(tokens):
        user_id = "not a number" if number == 4 else None
        empty_database.execute(tables.person(str(number), token, session_user_id=user_id))
    with counting_proxy(empty_database.dsn) as proxy:
        auth = auth_for(proxy.dsn, pool_size=1, lookup_timeout_seconds=30)
        assert await auth.validate_session(signed(tokens[0]))
        found, statements_sent = await look_up_together(
            auth, empty_database, proxy, [signed(token) for token in tokens]
        )
        assert users(found) == [*"0123", None, *"56789"]
        # The first alone, the nine others together, and then each of the nine.
        assert statements_sent == 1 + 1 + 9
        _, statements_sent = await look_up_together(
            auth, empty_database, proxy, [signed(token) for token in tokens[5:]]
        )
        assert statements_sent == 2
