"""Behind a transaction pooler a statement's name can be another client's: still nobody else is ever named.

A transaction pooler gives each transaction one of its server connections, and a prepared statement lives on one of
those. tokio-postgres names statements s0, s1, … in every process: two processes meet under one name.
"""

import io
import secrets
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg
import pytest
from psycopg import sql

from dev.pgbouncer import PgBouncer, follows_statements
from dev.postgres import EmbeddedPostgres
from dev.sessions import create_tables, sign_in
from tests.support.cookies import SECRET, new_token, signed
from tests.support.processes import Answer, ApplicationProcess

pytestmark = pytest.mark.needs("pgbouncer")

# max_prepared_statements: an older PgBouncer, as Debian 12's, does not know the word and does as with 0.
FOLLOWED = ["0", "200"] if follows_statements() else ["0"]
FORGETS = {"server_reset_query": "DISCARD ALL", "server_reset_query_always": "1"}
KEEPS = {"server_reset_query_always": "0"}

MakePooler = Callable[..., PgBouncer]


class Site:
    """A database in which "shop" and "forum" have tables of their own.

    They hold the same tokens, so that the other's statement would name somebody.
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

    def answers(self, schema: str) -> list[Answer]:
        """What an application must hear when it asks for all of them."""
        return [Answer(name) for name in self.names(schema)]

    def application(self, pooler: PgBouncer, schema: str, *, query: str = "", **settings: Any) -> ApplicationProcess:
        dsn = pooler.dsn(self.database) + query
        return ApplicationProcess(
            database_url=dsn, schema=schema, secret=SECRET, base_url="http://auth.test", **settings
        )

    @contextmanager
    def both_servers(self, pooler: PgBouncer) -> Generator[dict[int, psycopg.Connection]]:
        """The two server connections by their process ids: a transaction has one to itself."""
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
        """In here everybody gets this server connection."""
        with self.both_servers(pooler) as servers:
            servers[pid].rollback()
            yield


@pytest.fixture
def site(postgres: EmbeddedPostgres) -> Generator[Site]:
    site = Site(postgres)
    yield site
    postgres.drop_database(site.database)


@pytest.fixture
def make_pooler(postgres: EmbeddedPostgres) -> Generator[MakePooler]:
    """Starts poolers with two server connections for a database."""
    with ExitStack() as stack:

        def make(followed: str = "0", **settings: str) -> PgBouncer:
            if follows_statements():
                settings["max_prepared_statements"] = followed
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


def named_wrong(asked: Sequence[Answer], heard: Sequence[Answer]) -> list[Answer]:
    """Trouble is no wrong answer; "nobody" is one, for somebody who is signed in."""
    return [answer for right, answer in zip(asked, heard, strict=True) if not answer.trouble and answer != right]


@pytest.mark.parametrize("query", ["", "?pgbouncer=true"])
@pytest.mark.parametrize("keeping", [KEEPS, FORGETS], ids=["kept", "forgotten"])
@pytest.mark.parametrize("followed", FOLLOWED)
def test_no_name_is_used_where_names_are_taken(
    site: Site, make_pooler: MakePooler, followed: str, keeping: dict[str, str], query: str
) -> None:
    pooler = make_pooler(followed, **keeping)
    taken = [f"s{number}" for number in range(100)]
    with site.both_servers(pooler) as servers:
        for connection in servers.values():
            prepare(connection, "SELECT 'the statement of another client'", taken)
    with site.application(pooler, "shop", query=query) as shop:
        assert shop.ask(site.cookie_values[0]) == Answer("0 of shop")
        for _ in range(3):
            assert shop.start_asking(site.cookie_values).result() == site.answers("shop")
    with site.both_servers(pooler) as servers:
        for connection in servers.values():
            names = {name for name in prepared_on(connection) if not name.startswith("PGBOUNCER_")}
            assert names <= set(taken), "a statement has the name that our driver gave it"


def test_names_are_used_where_nothing_stands_between() -> None:
    log = io.StringIO()
    with EmbeddedPostgres(settings={"log_statement": "all"}, log=log) as postgres, PgBouncer(postgres) as pooler:
        site = Site(postgres)

        def look_up_statements(dsn: str, **settings: Any) -> set[str]:
            log.seek(0)
            log.truncate()
            with ApplicationProcess(
                database_url=dsn, schema="shop", secret=SECRET, base_url="http://auth.test", **settings
            ) as shop:
                assert shop.ask(site.cookie_values[0]) == Answer("0 of shop")
            lines = [line for line in log.getvalue().splitlines() if "requested.token" in line]
            return {line.partition("execute ")[2].partition(":")[0] for line in lines}

        direct, pooled = postgres.dsn(site.database), pooler.dsn(site.database)
        assert look_up_statements(direct) == {"s0"}
        assert look_up_statements(direct, prepared_statements="off") == {"<unnamed>"}
        assert look_up_statements(direct + "?pgbouncer=true") == {"<unnamed>"}
        assert look_up_statements(pooled) == {"<unnamed>"}


@pytest.mark.parametrize("followed", FOLLOWED)
def test_two_applications_at_once(site: Site, make_pooler: MakePooler, followed: str) -> None:
    pooler = make_pooler(followed)
    with site.application(pooler, "shop") as shop, site.application(pooler, "forum") as forum:
        for _ in range(5):
            of_shop, of_forum = (each.start_asking(site.cookie_values) for each in (shop, forum))
            assert of_shop.result() == site.answers("shop")
            assert of_forum.result() == site.answers("forum")


@pytest.mark.parametrize("keeping", [KEEPS, FORGETS], ids=["kept", "forgotten"])
@pytest.mark.parametrize("followed", FOLLOWED)
def test_two_applications_that_insist_on_names(
    site: Site, make_pooler: MakePooler, followed: str, keeping: dict[str, str]
) -> None:
    pooler = make_pooler(followed, **keeping)
    on = {"prepared_statements": "on"}
    trouble: list[Answer] = []
    with site.application(pooler, "shop", **on) as shop, site.application(pooler, "forum", **on) as forum:
        for _ in range(5):
            for schema, asked in [
                (s, a.start_asking(site.cookie_values)) for s, a in (("shop", shop), ("forum", forum))
            ]:
                heard = asked.result()
                assert not named_wrong(site.answers(schema), heard)
                trouble += [answer for answer in heard if answer.trouble]
    if followed == "0":
        assert trouble
    elif keeping is KEEPS:
        assert not trouble


def test_a_statement_of_another_application_is_known_by_its_answer(site: Site, make_pooler: MakePooler) -> None:
    """One server connection holds the shop's s0, the other the forum's, and then the shop gets the other."""
    pooler = make_pooler()
    ada, *_ = site.cookie_values
    on: dict[str, Any] = {"prepared_statements": "on", "pool_size": 1}
    with site.both_servers(pooler) as servers:
        of_shop, of_forum = servers
    with site.application(pooler, "shop", **on) as shop, site.application(pooler, "forum", **on) as forum:
        with site.only(pooler, of_shop):
            assert shop.ask(ada) == Answer("0 of shop")
        with site.only(pooler, of_forum):
            assert forum.ask(ada) == Answer("0 of forum")
        with site.both_servers(pooler) as servers:
            [shops], [forums] = (prepared_on(servers[pid]) for pid in (of_shop, of_forum))
            assert shops == forums == "s0"
            statement = prepared_on(servers[of_forum])["s0"]
            # What the shop is about to meet there answers its question, with another name.
            row = servers[of_forum].execute(sql.SQL("EXECUTE s0 ({})").format(site.tokens[0])).fetchone()
            assert row
            assert "0 of forum" in row
        with site.only(pooler, of_forum):
            # A fresh connection, a fresh name: right again.
            assert shop.ask(ada) == Answer("0 of shop")

        # As before, but all the names that it could try next are the forum's too.
        with site.both_servers(pooler) as servers:
            taken = [f"s{number}" for number in range(20)]
            for connection in servers.values():
                free = [name for name in taken if name not in prepared_on(connection)]
                prepare(connection, statement, free)
        answer = shop.ask(ada)
        assert answer.name is None
        assert answer.trouble


def test_an_outage_of_the_pooler(site: Site, make_pooler: MakePooler) -> None:
    pooler = make_pooler()
    with site.application(pooler, "shop") as shop:
        assert shop.start_asking(site.cookie_values).result() == site.answers("shop")
        pooler.stop()
        assert shop.ask(site.cookie_values[0]).trouble
        pooler.start()
        assert shop.start_asking(site.cookie_values).result() == site.answers("shop")
        # It was gone only between two look-ups: nobody notices.
        pooler.stop()
        pooler.start()
        assert shop.ask(site.cookie_values[0]) == Answer("0 of shop")


def test_a_statement_that_somebody_deallocated_is_named_anew(site: Site, make_pooler: MakePooler) -> None:
    pooler = make_pooler()
    ada, *_ = site.cookie_values
    with site.both_servers(pooler) as servers:
        one, _ = servers
    with site.application(pooler, "shop", prepared_statements="on", pool_size=1) as shop, site.only(pooler, one):
        assert shop.ask(ada) == Answer("0 of shop")
        for _ in range(3):
            with psycopg.connect(pooler.dsn(site.database), prepare_threshold=None, autocommit=True) as other:
                assert len(prepared_on(other)) == 1
                other.execute("DEALLOCATE ALL")
            # 26000, a new look at the catalog, and a statement of a name that was never used.
            assert shop.ask(ada) == Answer("0 of shop")
