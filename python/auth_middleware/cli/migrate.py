"""migrate: the tables that Better Auth writes to, made by a person's own decision; and users from Stack Auth."""

import argparse
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

from auth_middleware._core import Migrations
from auth_middleware.settings import AuthSettings

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # pyright: ignore[reportPrivateUsage]


class Migration(NamedTuple):
    """One file, run whole or not at all. What its queries select is for the operator to read."""

    file: str
    purpose: str

    @property
    def sql(self) -> str:
        return files("auth_middleware").joinpath("migrations", self.file).read_text(encoding="utf-8")


# In the order in which they are run, whatever order they are named in.
MIGRATIONS: Mapping[str, Migration] = {
    "tables": Migration("13_better_auth_tables.sql", "Better Auth's tables, in snake_case"),
    "rate_limit": Migration("14_rate_limit.sql", "where Better Auth counts requests, if told to use the database"),
    "stack_auth": Migration("migrate_stack_auth.sql", 'users of neon_auth.users_sync become "user" rows'),
}


def add_to(commands: "Commands") -> None:
    """Make `migrate` one of the commands."""
    listed = "\n".join(f"  {name:<12}{migration.purpose}" for name, migration in MIGRATIONS.items())
    parser = commands.add_parser(
        "migrate",
        help="make Better Auth's tables; without a name: what is applied, and what is open",
        description="Each migration is one transaction, recorded in auth_middleware_migration; safe to repeat.\n"
        f"Without a name: what is applied and what is open; nothing is written.\n\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", type=_known, help="what to apply")
    parser.add_argument("--dry-run", action="store_true", help="print the SQL that would run; write nothing")
    parser.add_argument("--database-url", metavar="URL", help="default: DATABASE_URL (there, no `ps` shows it)")
    parser.set_defaults(run=run)


async def run(chosen: argparse.Namespace) -> int:
    """What the arguments ask for.

    Raises:
        AuthError: the database cannot be reached, or refused.
    """
    settings = AuthSettings(**({"database_url": chosen.database_url} if chosen.database_url else {}))
    url = settings.database_url.get_secret_value() if settings.database_url else None
    migrations = Migrations(url, settings.schema_)
    wanted = [name for name in MIGRATIONS if name in chosen.names]
    if not wanted and not chosen.dry_run:
        _tell_state(await migrations.applied())
    elif chosen.dry_run:
        _print_sql(wanted or list(MIGRATIONS), await migrations.applied())
    else:
        for name in wanted:
            _tell_result(name, await migrations.apply(name, MIGRATIONS[name].sql))
    return 0


def _known(name: str) -> str:
    if name not in MIGRATIONS:
        raise argparse.ArgumentTypeError(f"there is no migration {name!r}, only {', '.join(MIGRATIONS)}")
    return name


def _tell_state(applied: Mapping[str, datetime]) -> None:
    for name, migration in MIGRATIONS.items():
        since = applied.get(name)
        state = f"applied {since.astimezone():%Y-%m-%d %H:%M:%S %Z}" if since else "open"
        print(f"{name:<12}{state:<32}{migration.purpose}")
    for name in sorted(applied.keys() - MIGRATIONS.keys()):
        print(f"{name:<12}applied by another version of auth_middleware")


def _print_sql(names: Sequence[str], applied: Mapping[str, datetime]) -> None:
    for name in names:
        if name in applied:
            print(f"-- {name}: applied already, nothing would run\n")
        else:
            print(f"-- {name}: {MIGRATIONS[name].file}, in one transaction with its record\n\n{MIGRATIONS[name].sql}")


def _tell_result(name: str, report: Sequence[Sequence[str | None]] | None) -> None:
    if report is None:
        print(f"{name}: applied already, nothing was done")
        return
    lines = [f"{name}: applied", *("  " + ": ".join(filter(None, row)) for row in report)]
    print("\n".join(lines), flush=True)  # now: the next may fail, and says so on the other stream
