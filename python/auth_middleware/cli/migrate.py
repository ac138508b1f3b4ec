"""The migrate command: Better Auth's tables, users from Stack Auth, and the triggers for `live`."""

import argparse
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

from auth_middleware._core import Migrations
from auth_middleware.errors import AuthError, ConfigurationError, SchemaError, StoreUnavailable
from auth_middleware.settings import AuthSettings

if TYPE_CHECKING:
    from auth_middleware.cli.arguments import Parser

    Commands = argparse._SubParsersAction[Parser]  # pyright: ignore[reportPrivateUsage]


class Migration(NamedTuple):
    """One SQL file, run in one transaction. The rows that its queries select are printed for the operator."""

    file: str
    purpose: str

    @property
    def sql(self) -> str:
        return files("auth_middleware").joinpath("migrations", self.file).read_text(encoding="utf-8")


STACK_AUTH = "stack_auth"
# Migrations run in this order, whatever the order of the arguments.
MIGRATIONS: Mapping[str, Migration] = {
    "tables": Migration("13_better_auth_tables.sql", "Better Auth's tables, in snake_case"),
    "rate_limit": Migration("14_rate_limit.sql", "the table for Better Auth's rate limits with database storage"),
    "jwks": Migration("15_jwks.sql", "the table for the keys of Better Auth's jwt plugin, in snake_case"),
    STACK_AUTH: Migration("migrate_stack_auth.sql", 'users of neon_auth.users_sync become "user" rows'),
}
IGNORED = "updates that change only these columns are not notified"
# Runs last. It has no file, because its SQL depends on the tables that are found. Being recorded does not prove that
# its triggers are still in force.
LIVE = "live"
PURPOSES = {
    **{name: migration.purpose for name, migration in MIGRATIONS.items()},
    LIVE: 'triggers that notify of changes, for freshness "live"',
}


def add_to(commands: "Commands") -> None:
    """Make `migrate` one of the commands."""
    listed = "\n".join(f"  {name:<12}{purpose}" for name, purpose in PURPOSES.items())
    parser = commands.add_parser(
        "migrate",
        help="create Better Auth's tables and triggers; without a name, list the migrations",
        description="Each migration is one transaction, recorded in auth_middleware_migration; safe to repeat.\n"
        f"Without a name, lists which migrations are applied; nothing is written.\n\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", type=_known, help="what to apply")
    parser.add_argument(
        "--ignoring",
        action="append",
        metavar="COLUMNS",
        help=f"{LIVE}: do not notify updates that change only these columns, for example "
        "session.lastActivityAt,session.updatedAt; for columns that the application updates with each request. "
        "Replaces the list of the previous run",
    )
    parser.add_argument("--down", action="store_true", help=f"undo a migration; only {LIVE} can be undone")
    parser.add_argument(
        "--unverified",
        action="store_true",
        help=f"{STACK_AUTH}: mark an address as not verified where raw_json does not say (default: verified)",
    )
    parser.add_argument("--dry-run", action="store_true", help="print the SQL that would run; write nothing")
    parser.add_argument("--database-url", metavar="URL", help="default: DATABASE_URL, which `ps` does not show")
    parser.set_defaults(run=run)


async def run(chosen: argparse.Namespace) -> int:
    """Runs what the arguments specify.

    Raises:
        AuthError: the database cannot be reached, or refused.
    """
    wanted = [name for name in PURPOSES if name in chosen.names]
    if chosen.unverified and STACK_AUTH not in wanted:
        raise ConfigurationError(f"--unverified applies to {STACK_AUTH} only: name that migration too")
    ignoring: Sequence[str] = chosen.ignoring or ()
    if ignoring and (LIVE not in wanted or chosen.down):
        raise ConfigurationError(f"--ignoring applies to the migration {LIVE} only: migrate {LIVE} --ignoring …")
    files_sql = {name: migration.sql for name, migration in MIGRATIONS.items()}
    files_sql[STACK_AUTH] = _assuming(verified=not chosen.unverified) + files_sql[STACK_AUTH]
    if chosen.dry_run and not chosen.down:
        await _print_sql(chosen.database_url, wanted, files_sql, ignoring)
        return 0
    migrations = _open(chosen.database_url)
    if chosen.down:
        await _take_back(migrations, wanted, dry_run=chosen.dry_run)
    elif not wanted:
        await _print_state(migrations)
    else:
        for name in wanted:
            await _apply(migrations, name, files_sql, ignoring)
    return 0


def _open(database_url: str | None) -> Migrations:
    """
    Raises:
        ConfigurationError: the database URL is missing, or a setting is wrong.
    """
    settings = AuthSettings(database_url=database_url) if database_url else AuthSettings()
    return Migrations(
        settings.database_url.get_secret_value() if settings.database_url else None,
        settings.schema_,
        settings.user_table,
        settings.session_table,
        settings.user_columns,
        settings.session_columns,
    )


def _known(name: str) -> str:
    if name not in PURPOSES:
        raise argparse.ArgumentTypeError(f"there is no migration {name!r}, only {', '.join(PURPOSES)}")
    return name


def _assuming(*, verified: bool) -> str:
    """What migrate_stack_auth.sql reads: set either way, so that no role's or database's own setting decides."""
    return f"SET LOCAL auth_middleware.assume_verified TO '{'on' if verified else 'off'}';\n\n"


async def _apply(migrations: Migrations, name: str, files_sql: Mapping[str, str], ignoring: Sequence[str]) -> None:
    if name != LIVE:
        _print_result(name, await migrations.apply(name, files_sql[name]))
    elif await migrations.apply_live(ignoring):
        ignored = await migrations.ignored_columns()
        _print_result(name, [[IGNORED, ", ".join(ignored)]] if ignored else [])
    else:
        _print_result(name, None)


async def _take_back(migrations: Migrations, names: Sequence[str], *, dry_run: bool) -> None:
    if list(names) != [LIVE]:
        named = ", ".join(name for name in names if name != LIVE) or "nothing"
        raise ConfigurationError(
            f"--down {named}: only {LIVE} can be taken back; tables hold what people wrote to them"
        )
    if dry_run:
        print(f"-- {LIVE}: taken back in one transaction with its record\n\n{await migrations.live_down_sql()}")
    elif await migrations.take_back_live():
        print(f"{LIVE}: taken back")
    else:
        print(f"{LIVE}: was not recorded; if its triggers were there, they are gone")


async def _print_state(migrations: Migrations) -> None:
    recorded = await migrations.applied()
    applied = recorded or {}
    has_tables, (problem, _) = await migrations.has_tables(), await migrations.live_state()
    for name, purpose in PURPOSES.items():
        if since := applied.get(name):
            state = f"{name:<12}applied {since.astimezone():%Y-%m-%d %H:%M:%S %Z}"
        elif name == "tables" and has_tables:
            state = f"{name}: made by another tool"
        else:
            state = f"{name:<12}open" if recorded is not None else f"{name:<12}unknown"
        print(f"{state:<44}{purpose}")
    if recorded is None:
        print(
            "this role may not read auth_middleware_migration, where applied migrations are recorded: "
            "GRANT SELECT ON auth_middleware_migration to it"
        )
    if LIVE in applied and problem:
        print(f"{'':<12}but not in force: {problem}")
    elif LIVE in applied and (ignored := await migrations.ignored_columns()):
        print(f"{'':<12}{IGNORED}: {', '.join(ignored)}")
    for name in sorted(applied.keys() - PURPOSES.keys()):
        print(f"{name:<12}applied by another version of auth_middleware")


async def _print_sql(
    database_url: str | None, names: Sequence[str], files_sql: Mapping[str, str], ignoring: Sequence[str]
) -> None:
    migrations, applied = None, {}
    try:
        reachable = _open(database_url)
        applied = await reachable.applied() or {}
        migrations = reachable
    except (ConfigurationError, StoreUnavailable) as error:
        # The SQL of a file is the same for every database.
        if LIVE in names:
            raise
        print(f"-- What is applied already is unknown: {_one_line(error)}\n")
    for name in names or PURPOSES:
        if name == LIVE:
            await _print_live_sql(migrations, ignoring, is_applied=name in applied, is_named=bool(names))
        elif name in applied:
            print(f"-- {name}: applied already, nothing would run\n")
        else:
            print(f"-- {name}: {MIGRATIONS[name].file}, in one transaction with its record\n\n{files_sql[name]}")


async def _print_live_sql(
    migrations: Migrations | None, ignoring: Sequence[str], *, is_applied: bool, is_named: bool
) -> None:
    if migrations is None:
        print(f"-- {LIVE}: written for the tables that are found\n")
        return
    try:
        sql, is_in_force = await migrations.live_sql(ignoring)
    except SchemaError as error:
        # When all migrations are printed, the tables need not exist yet.
        if is_named:
            raise
        print(f"-- {LIVE}: {_one_line(error)}")
        return
    if is_applied and is_in_force:
        print(f"-- {LIVE}: applied already, nothing would run\n")
    else:
        print(f"-- {LIVE}: written for the tables found, in one transaction with its record\n\n{sql}")


def _one_line(error: AuthError) -> str:
    return " ".join(str(error).split())


def _print_result(name: str, report: Sequence[Sequence[str | None]] | None) -> None:
    if report is None:
        print(f"{name}: applied already, nothing was done")
        return
    lines = [f"{name}: applied", *("  " + ": ".join(filter(None, row)) for row in report)]
    print("\n".join(lines), flush=True)  # now: the next may fail, and says so on the other stream
