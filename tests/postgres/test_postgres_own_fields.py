"""Subclasses of the models read exactly the additional columns that they declare, of any type."""

from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Literal
from uuid import UUID

import pytest

from auth_middleware import AuthSession, AuthUser, SchemaError
from tests.postgres.conftest import MakeAuthFor, Role
from tests.postgres.test_postgres_rights import SESSION_COLUMNS, USER_COLUMNS
from tests.support.databases import Database

ID = "4f9c4a1e-7d0f-4b61-9f0f-6c1f0a3b2d11"


class Mood(Enum):
    SAD = "sad"
    HAPPY = "very happy"


class Member(AuthUser):
    nickname: str | None
    age: int | None
    large: int | None
    score: float | None
    active: bool | None
    seen: datetime | None
    noted: datetime | None
    external: UUID | None
    settings: dict[str, Any] | None
    raw: Any
    tags: list[str | None] | None
    teams: list[UUID] | None
    matrix: list[list[int]] | None
    mood: Mood | None
    moods: list[Mood] | None
    handle: str | None
    consent: bool | None
    credit: Decimal | None
    born: date | None


ALL_TYPES = """
CREATE TYPE mood AS ENUM ('sad', 'very happy');
CREATE DOMAIN handle AS text CHECK (VALUE ~ '^@');
CREATE DOMAIN consent AS boolean;
ALTER TABLE "user"
    ADD nickname varchar(20), ADD age smallint, ADD large bigint, ADD score real, ADD active boolean,
    ADD seen timestamptz, ADD noted timestamp, ADD external uuid, ADD settings jsonb, ADD raw json,
    ADD tags text[], ADD teams uuid[], ADD matrix integer[], ADD mood mood, ADD moods mood[],
    ADD handle handle, ADD consent consent, ADD credit numeric(30, 10), ADD born date
"""
PREPARED = pytest.mark.parametrize("prepared", ["on", "off"])


@PREPARED
async def test_columns_of_every_common_type_are_read(database: Database, auth_for: MakeAuthFor, prepared: str) -> None:
    who = database.sign_in()
    database.execute(ALL_TYPES)
    database.execute(f"""
        UPDATE "user" SET nickname = 'ada ✨', age = -7, large = 9007199254740993, score = 0.5, active = true,
            seen = '2026-01-02 03:04:05.000006+02', noted = '2026-01-02 03:04:05.000006', external = '{ID}',
            settings = '{{"theme": {{"dark": [1, 2.5, null, true, "x"]}}}}', raw = '18446744073709551615',
            tags = '{{a,NULL,"b,\\"c"}}', teams = '{{{ID}}}', matrix = '{{{{1,2}},{{3,4}}}}', mood = 'very happy',
            moods = '{{sad,"very happy"}}', handle = '@ada', consent = false, credit = 12345678901234567890.0123456789,
            born = '1815-12-10'
    """)
    auth = auth_for(database.dsn, user_model=Member, prepared_statements=prepared)
    identity = await auth.validate_session(who.cookie_value)
    assert identity
    own = identity.user.model_dump(exclude=set(AuthUser.model_fields))
    assert own == {
        "nickname": "ada ✨",
        "age": -7,
        "large": 9007199254740993,
        "score": 0.5,
        "active": True,
        "seen": datetime(2026, 1, 2, 1, 4, 5, 6, tzinfo=UTC),
        "noted": datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
        "external": UUID(ID),
        "settings": {"theme": {"dark": [1, 2.5, None, True, "x"]}},
        "raw": 18446744073709551615,
        "tags": ["a", None, 'b,"c'],
        "teams": [UUID(ID)],
        "matrix": [[1, 2], [3, 4]],
        "mood": Mood.HAPPY,
        "moods": [Mood.SAD, Mood.HAPPY],
        "handle": "@ada",
        "consent": False,
        "credit": Decimal("12345678901234567890.0123456789"),
        "born": date(1815, 12, 10),
    }


@PREPARED
async def test_null_is_none_in_columns_of_every_common_type(
    database: Database, auth_for: MakeAuthFor, prepared: str
) -> None:
    who = database.sign_in()
    database.execute(ALL_TYPES)
    auth = auth_for(database.dsn, user_model=Member, prepared_statements=prepared)
    identity = await auth.validate_session(who.cookie_value)
    assert identity
    own = identity.user.model_dump(exclude=set(AuthUser.model_fields))
    assert own == dict.fromkeys(own)
    assert len(own) == 19


class Flagged(AuthUser):
    is_beta: bool


@pytest.mark.parametrize("flag_type", ["boolean", "flag", "flag_of_flags"])
async def test_a_domain_is_read_as_its_base_type(database: Database, auth_for: MakeAuthFor, flag_type: str) -> None:
    who = database.sign_in()
    database.execute(f"""
        CREATE DOMAIN flag AS boolean; CREATE DOMAIN flag_of_flags AS flag;
        ALTER TABLE "user" ADD is_beta {flag_type} DEFAULT true;
        ALTER TABLE "user" ALTER email_verified DROP DEFAULT, ALTER email_verified TYPE {flag_type};
    """)
    identity = await auth_for(database.dsn, user_model=Flagged).validate_session(who.cookie_value)
    assert identity
    assert (identity.user.is_beta, identity.user.email_verified) == (True, False)


class Organized(AuthSession):
    active_organization_id: str | None
    impersonated_by: str | None = None


async def test_own_fields_of_a_session_are_found_in_both_spellings_and_by_settings(
    database: Database, auth_for: MakeAuthFor
) -> None:
    who = database.sign_in()
    database.execute("""
        ALTER TABLE session ADD "activeOrganizationId" text DEFAULT 'acme', ADD "by whom" text DEFAULT 'root';
    """)
    auth = auth_for(database.dsn, session_model=Organized, session_columns={"impersonated_by": "by whom"})
    identity = await auth.validate_session(who.cookie_value)
    assert identity
    assert (identity.session.active_organization_id, identity.session.impersonated_by) == ("acme", "root")
    assert identity.session.token == who.token


class WithRole(AuthUser):
    role: str | None = None


async def test_only_declared_fields_are_read(database: Database, auth_for: MakeAuthFor, role: Role) -> None:
    who = database.sign_in()
    database.execute(f"""
        ALTER TABLE "user" ADD role text DEFAULT 'admin', ADD diary text DEFAULT 'secret';
        GRANT SELECT ({USER_COLUMNS}, role) ON "user" TO {role.name};
        GRANT SELECT ({SESSION_COLUMNS}) ON session TO {role.name};
    """)
    identity = await auth_for(role.dsn(database), user_model=WithRole).validate_session(who.cookie_value)
    assert identity
    assert identity.user.role == "admin"
    assert set(identity.user.model_dump()) == {*AuthUser.model_fields, "role"}


async def test_a_declared_field_that_may_not_be_read_is_an_error(
    database: Database, auth_for: MakeAuthFor, role: Role
) -> None:
    database.execute(f"""
        ALTER TABLE "user" ADD role text;
        GRANT SELECT ({USER_COLUMNS}) ON "user" TO {role.name};
        GRANT SELECT ON session TO {role.name};
    """)
    await auth_for(role.dsn(database)).open()
    with pytest.raises(SchemaError, match=r'"public"\."user" may not be read: GRANT SELECT \("role"\) ON'):
        await auth_for(role.dsn(database), user_model=WithRole).open()


async def test_a_declared_field_without_a_column_is_an_error_even_if_it_has_a_default(
    database: Database, auth_for: MakeAuthFor
) -> None:
    with pytest.raises(SchemaError, match=r'"public"\."user" has no column role; it has created_at'):
        await auth_for(database.dsn, user_model=WithRole).open()
    with pytest.raises(SchemaError, match=r'"public"\."session" has no column activeOrganizationId or active_org'):
        await auth_for(database.dsn, session_model=Organized).open()


class Ranked(AuthUser):
    role: Literal["user", "admin"]
    level: int


async def test_the_error_for_a_value_of_the_wrong_type_does_not_contain_it(
    database: Database, auth_for: MakeAuthFor
) -> None:
    good, bad = database.sign_in(), database.sign_in()
    database.execute(f"""
        ALTER TABLE "user" ADD role text DEFAULT 'user', ADD level text DEFAULT '3';
        UPDATE "user" SET role = 'h4ndle-with-care', level = NULL WHERE id = '{bad.user_id}';
    """)
    auth = auth_for(database.dsn, user_model=Ranked)
    identity = await auth.validate_session(good.cookie_value)
    assert identity
    assert (identity.user.role, identity.user.level) == ("user", 3)
    with pytest.raises(SchemaError) as caught:
        await auth.validate_session(bad.cookie_value)
    cause = str(caught.value.__cause__)
    assert "Ranked" in cause
    assert "role" in cause
    assert "level" in cause
    assert "h4ndle" not in f"{caught.value!r} {cause}"
