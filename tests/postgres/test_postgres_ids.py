"""A session is joined with the user of its user id, whatever the types of the two id columns."""

import itertools

import pytest

from auth_middleware import SchemaError
from dev.cookies import new_token, signed
from tests.postgres.conftest import MakeAuthFor
from tests.support import tables
from tests.support.databases import Database

UUIDS = ["10000000-0000-0000-0000-000000000001", "10000000-0000-0000-0000-000000000012"]

DOMAINS = """
CREATE TYPE level AS ENUM ('1', '12', '123');
CREATE DOMAIN text_id AS text;
CREATE DOMAIN padded_id AS char(12);
CREATE DOMAIN short_id AS varchar(2);
CREATE DOMAIN whole_id AS bigint CHECK (VALUE > 0);
CREATE DOMAIN domain_of_domain AS whole_id;
CREATE DOMAIN exact_id AS numeric(12, 2);
CREATE DOMAIN uuid_id AS uuid;
"""
TEXTS = ["text", "varchar", "varchar(12)", "char(12)", "text_id", "padded_id", "short_id", "level"]
WHOLE_NUMBERS = ["int2", "int4", "int8", "whole_id", "domain_of_domain"]
DECIMALS = ["numeric", "numeric(12)", "numeric(12, 2)", "exact_id"]
UUID_TYPES = ["uuid", "uuid_id"]
# Types to which a cast truncates or rounds.
DOMAINS_WITH_LENGTH = {"padded_id", "short_id", "exact_id"}
PAIRS: list[tuple[str, str]] = [
    *itertools.product(TEXTS + WHOLE_NUMBERS + DECIMALS, TEXTS + WHOLE_NUMBERS + DECIMALS),
    *itertools.product([*UUID_TYPES, "text", "varchar", "text_id"], UUID_TYPES),
    *itertools.product(UUID_TYPES, ["text", "varchar", "text_id"]),
    *itertools.product(WHOLE_NUMBERS + DECIMALS, UUID_TYPES),
    *itertools.product(UUID_TYPES, WHOLE_NUMBERS + DECIMALS),
]


def may_lose(user_type: str, session_type: str) -> bool:
    """Whether PostgreSQL's cast to the user's type can lose information or does not exist."""
    if session_type == user_type:
        return False
    is_rounded = user_type in WHOLE_NUMBERS and session_type in DECIMALS
    numbers = {*WHOLE_NUMBERS, *DECIMALS}
    is_impossible = (user_type in UUID_TYPES and session_type in numbers) or (
        user_type in numbers and session_type in UUID_TYPES
    )
    return user_type in DOMAINS_WITH_LENGTH or is_rounded or is_impossible


async def test_every_pair_of_id_types_joins_the_right_user_or_is_refused(
    empty_database: Database, auth_for: MakeAuthFor
) -> None:
    empty_database.execute(DOMAINS)
    tokens = (new_token(), new_token())
    for first in range(0, len(PAIRS), 20):  # reading the catalog of hundreds of tables is slow
        some = {f"schema{number}": pair for number, pair in enumerate(PAIRS[first : first + 20])}
        empty_database.execute("".join(making(schema, pair, tokens) for schema, pair in some.items()))
        for schema, pair in some.items():
            auth = auth_for(empty_database.dsn, schema=schema, pool_size=1)
            if may_lose(*pair):
                columns = rf'"{schema}"\."session"\."user_id" .*"{schema}"\."user"\."id" '
                with pytest.raises(SchemaError, match=columns):
                    await auth.open()
            else:
                found = [await auth.validate_session(signed(each)) for each in tokens]
                assert [each and (each.user.id, each.session.user_id) for each in found] == expected(*pair), pair
            await auth.close()
        empty_database.execute(f"SET client_min_messages = warning; DROP SCHEMA {', '.join(some)} CASCADE")


def making(schema: str, pair: tuple[str, str], tokens: tuple[str, str]) -> str:
    user_type, session_type = pair
    made = f"CREATE SCHEMA {schema}; {tables.plain(schema=schema, id_type=user_type, user_id_type=session_type)}"
    if may_lose(*pair):
        return made
    people = (tables.person(each, token, schema=schema) for each, token in zip(ids_of(*pair), tokens, strict=True))
    return made + "".join(people)


def ids_of(user_type: str, session_type: str) -> list[str]:
    return UUIDS if {user_type, session_type} & set(UUID_TYPES) else ["1", "12"]


def expected(user_type: str, session_type: str) -> list[tuple[str, str] | None]:
    with_cents = {"numeric(12, 2)", "exact_id"}
    if user_type in TEXTS and session_type in with_cents:
        return [None, None]  # the text "1.00" is not "1"

    def as_stored(value: str, column_type: str) -> str:
        return f"{value}.00" if column_type in with_cents else value

    return [(as_stored(each, user_type), as_stored(each, session_type)) for each in ids_of(user_type, session_type)]


@pytest.mark.parametrize("user_type", ["char(12)", "char(2)", "bpchar"])
async def test_a_session_of_user_12_is_not_user_1(
    empty_database: Database, auth_for: MakeAuthFor, user_type: str
) -> None:
    token = new_token()
    empty_database.execute(tables.plain(id_type=user_type, user_id_type="text"))
    empty_database.execute(tables.person("1", new_token()) + tables.person("12", token))
    identity = await auth_for(empty_database.dsn).validate_session(signed(token))
    assert identity
    assert identity.user.id == "12"


# The types of the two columns, the session's user id, and which of the users "1" and "12" it identifies.
SPELLINGS = [
    ("bigint", "text", "012", "12"),
    ("bigint", "text", " 12 ", "12"),
    ("bigint", "varchar", "99999999999999999", None),
    ("smallint", "text", "65548", None),  # would be 12 if it were truncated to 16 bits
    ("smallint", "bigint", "65548", None),
    ("integer", "bigint", "4294967308", None),
    ("numeric", "text", "12.0", "12"),
    ("numeric(4, 0)", "numeric", "12.4", None),
    ("numeric(4, 0)", "text", "11.5", None),
    ("varchar(2)", "text", "123", None),
    ("char(2)", "text", "123", None),
    ("text", "char(5)", "12", "12"),
    ("text", "text", "12 ", None),
    ("varchar", "text", "1", "1"),
    ("name", "text", "12", "12"),
]


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_an_id_that_differs_slightly_identifies_no_user(
    empty_database: Database, auth_for: MakeAuthFor, spelling: tuple[str, str, str, str | None]
) -> None:
    user_type, session_type, named, user_id = spelling
    token = new_token()
    empty_database.execute(tables.plain(id_type="text"))
    empty_database.execute(tables.person("1", new_token()) + tables.person("12", token, session_user_id=named))
    empty_database.execute(f"""
        ALTER TABLE "user" ALTER id TYPE {user_type} USING id::{user_type};
        ALTER TABLE session ALTER user_id TYPE {session_type} USING user_id::{session_type};
    """)
    identity = await auth_for(empty_database.dsn).validate_session(signed(token))
    assert (identity and identity.user.id) == user_id


async def test_a_uuid_may_be_written_in_upper_case(empty_database: Database, auth_for: MakeAuthFor) -> None:
    token, user_id = new_token(), "4f9c4a1e-7d0f-4b61-9f0f-6c1f0a3b2d11"
    empty_database.execute(tables.plain(id_type="uuid", user_id_type="text"))
    empty_database.execute(tables.person(user_id, token, session_user_id=user_id.upper()))
    identity = await auth_for(empty_database.dsn).validate_session(signed(token))
    assert identity
    assert identity.user.id == user_id


async def test_ids_that_are_equal_only_by_collation_are_different(
    empty_database: Database, auth_for: MakeAuthFor
) -> None:
    """As `citext` and a collation that ignores case do."""
    token = new_token()
    empty_database.execute("""
        CREATE TYPE careless;
        CREATE FUNCTION careless_in(cstring) RETURNS careless LANGUAGE internal IMMUTABLE STRICT AS 'textin';
        CREATE FUNCTION careless_out(careless) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout';
        CREATE TYPE careless (INPUT = careless_in, OUTPUT = careless_out, LIKE = text, CATEGORY = 'S');
        CREATE CAST (careless AS text) WITHOUT FUNCTION;
        CREATE CAST (text AS careless) WITHOUT FUNCTION;
        CREATE FUNCTION equals(careless, careless) RETURNS boolean LANGUAGE sql IMMUTABLE
            RETURN lower($1::text) = lower($2::text);
        CREATE OPERATOR = (LEFTARG = careless, RIGHTARG = careless, FUNCTION = equals);
    """)
    for schema, user_id_type in (("same", "careless"), ("other", "text")):
        empty_database.execute(f"""
            CREATE SCHEMA {schema};
            {tables.plain(schema=schema, id_type="careless", user_id_type=user_id_type)}
            {tables.person("U1", new_token(), schema=schema)}
            {tables.person("x", token, schema=schema, session_user_id="u1")}
        """)
        auth = auth_for(empty_database.dsn, schema=schema)
        assert await auth.validate_session(signed(token)) is None
        empty_database.execute(f"UPDATE {schema}.session SET user_id = 'U1' WHERE token = '{token}'")
        assert await auth.validate_session(signed(token))


@pytest.mark.parametrize("other", ["double precision", "json", "date", "interval"])
async def test_ids_of_an_unusual_type_are_compared_as_text(
    empty_database: Database, auth_for: MakeAuthFor, other: str
) -> None:
    ids = {"double precision": ["1", "1.5"], "json": ["[1]", "[ 1]"], "date": ["2026-01-01", "2026-01-02"]}
    for number, types in enumerate([(other, other), (other, "text"), ("text", other)]):
        tokens = [new_token(), new_token()]
        schema = f"schema{number}"
        empty_database.execute(f"CREATE SCHEMA {schema}")
        empty_database.execute(tables.plain(schema=schema, id_type=types[0], user_id_type=types[1]))
        for user_id, token in zip(ids.get(other, ["01:00:00", "02:00:00"]), tokens, strict=True):
            empty_database.execute(tables.person(user_id, token, schema=schema))
            identity = await auth_for(empty_database.dsn, schema=schema).validate_session(signed(token))
            assert identity
            assert identity.user.id == user_id
