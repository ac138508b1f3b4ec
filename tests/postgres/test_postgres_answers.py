"""Rows are accepted only with our marker and for a token of the statement. Otherwise the lookup fails."""

import asyncio
from collections.abc import Callable

import pytest

from auth_middleware import Identity, StoreUnavailable
from dev.postgres_proxies import Row, TamperingProxy, tampering_proxy
from tests.postgres.conftest import MakeAuthFor
from tests.support.databases import Database
from tests.support.polling import until
from tests.support.tables import NAMED_BY_BACKEND

# The columns of a lookup's row that hold its marker and its token. The process id of the server is between them.
MARKER, TOKEN = 0, 2
OURS = b"auth_middleware "

Change = Callable[[Row, bytes], list[Row]]


def left_out(_row: Row, _other: bytes) -> list[Row]:
    return []


def of_another_statement(row: Row, _other: bytes) -> list[Row]:
    return [[b"another client's", *row[1:]]]


def of_another_process(row: Row, _other: bytes) -> list[Row]:
    return [[OURS + b"0" * 16, *row[1:]]]


def without_a_marker(row: Row, _other: bytes) -> list[Row]:
    return [[None, *row[1:]]]


def for_another_token(row: Row, other: bytes) -> list[Row]:
    return [[*row[:TOKEN], other, *row[TOKEN + 1 :]]]


def for_no_token(row: Row, _other: bytes) -> list[Row]:
    return [[*row[:TOKEN], None, *row[TOKEN + 1 :]]]


def for_a_token_that_nobody_asked(row: Row, _other: bytes) -> list[Row]:
    return [row, [*row[:TOKEN], b"another token", *row[TOKEN + 1 :]]]


CHANGES: list[Change] = [
    left_out,
    of_another_statement,
    of_another_process,
    without_a_marker,
    for_another_token,
    for_no_token,
    for_a_token_that_nobody_asked,
]


class Tampering:
    """Changes the rows for one token, and counts the changes."""

    def __init__(self, proxy: TamperingProxy, change: Change, token: str, other: str, times: int) -> None:
        self._change, self._token, self._other, self._times = change, token.encode(), other.encode(), times
        self.done = 0
        proxy.change = self

    def __call__(self, row: Row) -> list[Row]:
        is_ours = (row[MARKER] or b"").startswith(OURS) and row[TOKEN] == self._token
        if not is_ours or self.done == self._times:
            return [row]
        self.done += 1
        return self._change(row, self._other)


@pytest.mark.parametrize("change", CHANGES)
async def test_a_wrong_result_for_one_token_is_an_error(
    database: Database, auth_for: MakeAuthFor, change: Change
) -> None:
    who, other = database.sign_in(), database.sign_in()
    with tampering_proxy(database.dsn) as proxy:
        auth = auth_for(proxy.dsn, pool_size=1)
        assert await auth.validate_session(who.cookie_value)
        tampering = Tampering(proxy, change, who.token, other.token, times=1000)
        with pytest.raises(StoreUnavailable):
            await auth.validate_session(who.cookie_value)
        assert tampering.done == 2  # once, and once more on a fresh connection


@pytest.mark.parametrize("change", CHANGES)
async def test_a_wrong_result_in_a_batch_is_an_error_for_the_whole_batch(
    database: Database, auth_for: MakeAuthFor, change: Change
) -> None:
    everybody = [database.sign_in() for _ in range(8)]
    with tampering_proxy(database.dsn) as proxy:
        auth = auth_for(proxy.dsn, pool_size=1, lookup_timeout_seconds=30)
        assert await auth.validate_session(everybody[0].cookie_value)
        tampering = Tampering(proxy, change, everybody[3].token, everybody[5].token, times=1000)
        with database.locked() as blocked:
            tasks = [asyncio.create_task(auth.validate_session(everybody[0].cookie_value))]
            await until(lambda: blocked() == 1)
            tasks += [asyncio.create_task(auth.validate_session(who.cookie_value)) for who in everybody[1:]]
            await asyncio.sleep(0)
        alone, *together = await asyncio.gather(*tasks, return_exceptions=True)
        assert tampering.done == 2
    assert isinstance(alone, Identity)
    assert alone.user.id == everybody[0].user_id
    assert all(isinstance(each, StoreUnavailable) for each in together)


@pytest.mark.parametrize("change", CHANGES)
async def test_a_connection_that_returned_a_wrong_result_is_not_used_again(
    database: Database, auth_for: MakeAuthFor, change: Change
) -> None:
    who, other = database.sign_in(), database.sign_in()
    database.execute(NAMED_BY_BACKEND)
    with tampering_proxy(database.dsn) as proxy:
        auth = auth_for(proxy.dsn, pool_size=1)
        first = await auth.validate_session(who.cookie_value)
        tampering = Tampering(proxy, change, who.token, other.token, times=1)
        second = await auth.validate_session(who.cookie_value)
        third = await auth.validate_session(who.cookie_value)
    assert tampering.done == 1
    assert first
    assert second
    assert third
    assert second.user.id == who.user_id
    assert first.user.name != second.user.name
    assert second.user.name == third.user.name
