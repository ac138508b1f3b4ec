"""Columns that are added while a process runs are read as soon as the live feed sees the tables change."""

import pytest

from tests.support.databases import Database
from tests.support.live import QUICK, MakeLive, migrate_live


@pytest.mark.parametrize("columns", ["banned boolean", "banned boolean, ADD ban_expires timestamptz"])
async def test_a_ban_whose_columns_are_added_later_is_seen(
    database: Database, make_live: MakeLive, columns: str
) -> None:
    await migrate_live(database.dsn)
    banned, other = database.sign_in(), database.sign_in()
    live = make_live(**QUICK)
    await live.wait_until_cached(banned)
    await live.wait_until_cached(other)
    database.execute(f"""
        ALTER TABLE "user" ADD {columns};
        UPDATE "user" SET banned = true WHERE id = '{banned.user_id}';
    """)
    await live.wait_until_refused(banned)
    assert await live.user_id(other) == other.user_id
