"""Behind a transaction pooler, a named statement can belong to another client. It must never return a wrong user.

A transaction pooler assigns a server connection to each transaction, and prepared statements belong to a server
connection. tokio-postgres names statements s0, s1, … in every process, so that two processes use the same names.
"""

import io
import secrets
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg
import pytest
from psycopg import sql

from dev.cookies import SECRET, new_token, signed
from dev.pgbouncer import PgBouncer, tracks_statements
from dev.postgres import EmbeddedPostgres
from dev.sessions import create_tables, sign_in
from tests.support.polling import wait_until
from tests.support.processes import ApplicationProcess, Outcome

pytestmark = pytest.mark.needs("pgbouncer")

# Values of max_prepared_statements. Older versions, such as Debian 12's, lack the setting and behave as with 0.
TRACKED = ["0", "200"] if tracks_statements() else ["0"]
DISCARDS = {"server_reset_query": "DISCARD ALL", "server_reset_query_always": "1"}
KEEPS = {"server_reset_query_always": "0"}

MakePooler = Callable[..., PgBouncer]


class Site:
    """A database with separate tables for "shop" and "forum".

    Both have sessions with the same tokens, so that a statement of the other application would find a user.
    """

    def __init__(self, postgres: EmbeddedPostgres) -> None:
        self.database = f"test_{secrets.token_hex(6)}"
        dsn = postgres.create_database(self.database)
        self.tokens = [new_token() for _ in range(200)]
        self.cookie_values = [signed(token) for token in self.tokens]
        for schema in ("shop", "forum"):
            create_tables(dsn, schema)
            sign_in(dsn, self.names(schema), schema, self.tokens)

    def names(self, schema: str) -> list[str]:
        return [f"{number} of {schema}" for number in range(200)]

    def outcomes(self, schema: str) -> list[Outcome]:
        """The correct outcomes for all tokens."""
        return [Outcome(name) for name in self.names(schema)]

    def application(self, pooler: PgBouncer, schema: str, *, query: str = "", **settings: Any) -> ApplicationProcess:
        dsn = pooler.dsn(self.database) + query
        return ApplicationProcess(
            database_url=dsn, schema=schema, secret=SECRET, base_url="http://auth.test", **settings
        )

    @contextmanager
    def both_server_connections(self, pooler: PgBouncer) -> Generator[dict[int, psycopg.Connection]]:
        """Occupies both server connections with a transaction each, and yields them by backend process id."""
        dsn = pooler.dsn(self.database)
        with (
            psycopg.connect(dsn, prepare_threshold=None) as one,
            psycopg.connect(dsn, prepare_threshold=None) as another,
        ):
            servers = {pid_of(one): one, pid_of(another): another}
            assert len(servers) == 2
            yield servers

    @contextmanager
    def only(self, pooler: PgBouncer, pid: int) -> Generator[None]:
        """Makes the pooler use this server connection only."""
        with self.both_server_connections(pooler) as servers:
            servers[pid].rollback()
            yield


@pytest.fixture
def site(postgres: EmbeddedPostgres) -> Generator[Site]:
    site = Site(postgres)
    yield site
    postgres.drop_database(site.database)


@pytest.fixture
def make_pooler(postgres: EmbeddedPostgres) -> Generator[MakePooler]:
    """Starts poolers with two server connections for each database."""
    with ExitStack() as stack:

        def make(tracked: str = "0", **settings: str) -> PgBouncer:
            if tracks_statements():
                settings["max_prepared_statements"] = tracked
            return stack.enter_context(PgBouncer(postgres, settings={"default_pool_size": "2", **settings}))

        yield make


def pid_of(connection: psycopg.Connection) -> int:
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    assert row
    return int(row[0])


def prepared_on(connection: psycopg.Connection) -> dict[str, str]:
    return dict(connection.execute("SELECT name, statement FROM pg_prepared_statements").fetchall())


def prepare(connection: psycopg.Connection, statement: str, names: Sequence[str]) -> None:
    for name in names:
        connection.execute(
            sql.SQL("PREPARE {} (text) AS ").format(sql.Identifier(name)).as_bytes() + statement.encode()
        )


def wrong_outcomes(expected: Sequence[Outcome], received: Sequence[Outcome]) -> list[Outcome]:
    """The wrong outcomes. An error is not wrong, but "no user" is wrong for a valid session."""
    return [got for right, got in zip(expected, received, strict=True) if not got.error and got != right]


@pytest.mark.parametrize("query", ["", "?pgbouncer=true"])
@pytest.mark.parametrize("reset", [KEEPS, DISCARDS], ids=["keeps", "discards"])
@pytest.mark.parametrize("tracked", TRACKED)
def test_statements_are_unnamed_behind_a_pooler(
    site: Site, make_pooler: MakePooler, tracked: str, reset: dict[str, str], query: str
) -> None:
    pooler = make_pooler(tracked, **reset)
    taken = [f"s{number}" for number in range(100)]
    with site.both_server_connections(pooler) as servers:
        for connection in servers.values():
            prepare(connection, "SELECT 'the statement of another client'", taken)
    with site.application(pooler, "shop", query=query) as shop:
        assert shop.look_up(site.cookie_values[0]) == Outcome("0 of shop")
        for _ in range(3):
            assert shop.start_lookups(site.cookie_values).result() == site.outcomes("shop")
    with site.both_server_connections(pooler) as servers:
        for connection in servers.values():
            names = {name for name in prepared_on(connection) if not name.startswith("PGBOUNCER_")}
            assert names <= set(taken), "a statement has the name that our driver gave it"


def test_statements_are_named_on_a_direct_connection() -> None:
    log = io.StringIO()
    with EmbeddedPostgres(settings={"log_statement": "all"}, log=log) as postgres, PgBouncer(postgres) as pooler:
        site = Site(postgres)

        def statement_names(dsn: str, **settings: Any) -> set[str]:
            log.seek(0)
            log.truncate()
            with ApplicationProcess(
                database_url=dsn, schema="shop", secret=SECRET, base_url="http://auth.test", **settings
            ) as shop:
                assert shop.look_up(site.cookie_values[0]) == Outcome("0 of shop")
            lines = [line for line in log.getvalue().splitlines() if "requested.key" in line]
            return {line.partition("execute ")[2].partition(":")[0] for line in lines}

        direct, pooled = postgres.dsn(site.database), pooler.dsn(site.database)
        assert statement_names(direct) == {"s0"}
        assert statement_names(direct, prepared_statements="off") == {"<unnamed>"}
        assert statement_names(direct + "?pgbouncer=true") == {"<unnamed>"}
        assert statement_names(pooled) == {"<unnamed>"}


@pytest.mark.parametrize("tracked", TRACKED)
def test_two_applications_run_concurrently(site: Site, make_pooler: MakePooler, tracked: str) -> None:
    pooler = make_pooler(tracked)
    with site.application(pooler, "shop") as shop, site.application(pooler, "forum") as forum:
        for _ in range(5):
            of_shop, of_forum = (each.start_lookups(site.cookie_values) for each in (shop, forum))
            assert of_shop.result() == site.outcomes("shop")
            assert of_forum.result() == site.outcomes("forum")


@pytest.mark.parametrize("reset", [KEEPS, DISCARDS], ids=["keeps", "discards"])
@pytest.mark.parametrize("tracked", TRACKED)
def test_two_applications_with_prepared_statements_on_never_get_a_wrong_user(
    site: Site, make_pooler: MakePooler, tracked: str, reset: dict[str, str]
) -> None:
    pooler = make_pooler(tracked, **reset)
    on = {"prepared_statements": "on"}
    errors: list[Outcome] = []
    with site.application(pooler, "shop", **on) as shop, site.application(pooler, "forum", **on) as forum:
        for _ in range(5):
            for schema, lookups in [
                (s, a.start_lookups(site.cookie_values)) for s, a in (("shop", shop), ("forum", forum))
            ]:
                received = lookups.result()
                assert not wrong_outcomes(site.outcomes(schema), received)
                errors += [outcome for outcome in received if outcome.error]
    if tracked == "0":
        assert errors
    elif reset is KEEPS:
        assert not errors


def test_a_result_of_another_applications_statement_is_detected(site: Site, make_pooler: MakePooler) -> None:
    """One server connection has the shop's s0 and the other the forum's; then the shop is given the other one."""
    pooler = make_pooler()
    ada, *_ = site.cookie_values
    on: dict[str, Any] = {"prepared_statements": "on", "pool_size": 1}
    with site.both_server_connections(pooler) as servers:
        of_shop, of_forum = servers
    with site.application(pooler, "shop", **on) as shop, site.application(pooler, "forum", **on) as forum:
        with site.only(pooler, of_shop):
            assert shop.look_up(ada) == Outcome("0 of shop")
        with site.only(pooler, of_forum):
            assert forum.look_up(ada) == Outcome("0 of forum")
        with site.both_server_connections(pooler) as servers:
            [shops], [forums] = (prepared_on(servers[pid]) for pid in (of_shop, of_forum))
            assert shops == forums == "s0"
            statement = prepared_on(servers[of_forum])["s0"]
            # The statement that the shop would run there finds a user, but the wrong one.
            row = servers[of_forum].execute(sql.SQL("EXECUTE s0 ({})").format(site.tokens[0])).fetchone()
            assert row
            assert "0 of forum" in row
        with site.only(pooler, of_forum):
            # The shop reconnects and uses a new name, so that the result is correct.
            assert shop.look_up(ada) == Outcome("0 of shop")

        # The same, but all the names that it could use next belong to the forum's statements as well.
        with site.both_server_connections(pooler) as servers:
            taken = [f"s{number}" for number in range(20)]
            for connection in servers.values():
                unused = [name for name in taken if name not in prepared_on(connection)]
                prepare(connection, statement, unused)
        outcome = shop.look_up(ada)
        assert outcome.name is None
        assert outcome.error


def test_lookups_recover_after_a_pooler_outage(site: Site, make_pooler: MakePooler) -> None:
    pooler = make_pooler()
    with site.application(pooler, "shop") as shop:
        assert shop.start_lookups(site.cookie_values).result() == site.outcomes("shop")
        pooler.stop()
        assert shop.look_up(site.cookie_values[0]).error
        pooler.start()
        wait_until(lambda: not shop.look_up(site.cookie_values[0]).error)
        assert shop.start_lookups(site.cookie_values).result() == site.outcomes("shop")
        # An outage between two lookups has no effect.
        pooler.stop()
        pooler.start()
        assert shop.look_up(site.cookie_values[0]) == Outcome("0 of shop")


def test_a_deallocated_statement_is_prepared_again(site: Site, make_pooler: MakePooler) -> None:
    pooler = make_pooler()
    ada, *_ = site.cookie_values
    with site.both_server_connections(pooler) as servers:
        one, _ = servers
    with site.application(pooler, "shop", prepared_statements="on", pool_size=1) as shop, site.only(pooler, one):
        assert shop.look_up(ada) == Outcome("0 of shop")
        for _ in range(3):
            with psycopg.connect(pooler.dsn(site.database), prepare_threshold=None, autocommit=True) as other:
                assert len(prepared_on(other)) == 1
                other.execute("DEALLOCATE ALL")
            # The error 26000 makes us read the catalog again and prepare a statement with a new name.
            assert shop.look_up(ada) == Outcome("0 of shop")
