"""Better Auth's tables, the privileges on them, and whether sessions are in them at all."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from auth_middleware._core import Diagnosis
from auth_middleware.cli.doctor.findings import Finding, Status, note, of_error, of_text, ok, warning
from auth_middleware.errors import AuthError

AREA = "tables"
# A sign-up creates a user and a session at once; an address may have to be confirmed first.
LATER = timedelta(hours=1)
RUN_MIGRATION = "Run Better Auth's migration on this database, or set AUTH_MIDDLEWARE_SCHEMA"
# Each problem begins with the name of a table, or with its absence.
_PROBLEMS = re.compile(r"; (?=\"|no table |row-level security|our role )")
IN_THE_DATABASE = (
    "Set session.storeSessionInDatabase: true at the auth server if it has a secondaryStorage (Redis), or accept JWTs; "
    "if it has none, check that this is its database"
)


async def findings(diagnosis: Diagnosis) -> list[Finding]:
    """The tables as lookups read them, and signs that sessions are kept elsewhere."""
    try:
        tables = await diagnosis.tables()
    except AuthError as error:
        problems = _PROBLEMS.split(str(error).removeprefix("Better Auth's tables cannot be read: "))
        return [of_error(AREA, type(error)(problem), RUN_MIGRATION) for problem in problems]
    found = list(_of_tables(tables))
    try:
        activity = await diagnosis.activity()
    except AuthError:
        message = "counting the rows timed out"
        return [*found, note(AREA, message, "Set AUTH_MIDDLEWARE_LOOKUP_TIMEOUT_SECONDS higher for the doctor alone")]
    return [*found, *_of_activity(activity)]


def _of_tables(tables: dict[str, Any]) -> Iterator[Finding]:
    for model in ("session", "user"):
        table: dict[str, Any] = tables[model]
        columns = ", ".join(column for _, column, _ in table["columns"])
        yield ok(AREA, f"{model}s are read from {table['name']} (owner {table['owner']}): {columns}")
        if table["has_row_security"]:
            message = f"row-level security on {table['name']} applies to our role, but hides no rows"
            yield note(
                AREA, message, "Keep the policy that is USING (true) for this role: hidden rows look like sign-outs"
            )
    writable = [tables[model]["name"] for model in ("session", "user") if tables[model]["may_write"]]
    if writable:
        names = ", ".join(writable)
        yield note(AREA, f"our role may write to {' and '.join(writable)}", f"REVOKE INSERT, UPDATE, DELETE ON {names}")
    else:
        yield ok(AREA, "our role may read everything that is needed, and cannot write to either table")
    if tables["reads_bans"]:
        yield ok(AREA, "bans of the admin plugin are enforced")
    else:
        message = "there is no column banned, so there are no bans to enforce"
        yield note(AREA, message, "Nothing, unless you use Better Auth's admin plugin: then run its migration")
    if tables["others"]:
        others = ", ".join(tables["others"])
        yield note(
            AREA,
            f"there are other tables with names of Better Auth's, which are not read: {others}",
            "If you use one of them, set AUTH_MIDDLEWARE_SCHEMA, …_SESSION_TABLE or …_USER_TABLE",
        )
    for text in tables["warnings"]:
        yield of_text(AREA, Status.WARNING, text, "See docs/migrating.md")


def _of_activity(activity: dict[str, Any]) -> Iterator[Finding]:
    sessions, live, users = activity["sessions"], activity["live_sessions"], activity["users"]
    newest_session, newest_user = _time(activity["newest_session"]), _time(activity["newest_user"])
    if not users and not sessions:
        yield note(
            AREA,
            "there are no users and no sessions yet",
            "Sign up once. If users have already signed up, the auth server uses another database or schema",
        )
    elif not sessions:
        yield warning(
            AREA,
            f"there are {users} users but no session rows: nobody is signed in, or Better Auth keeps its sessions in "
            "secondary storage",
            IN_THE_DATABASE,
        )
    elif newest_session and newest_user and newest_user > newest_session + LATER:
        yield warning(
            AREA,
            f"no session row is newer than {newest_session:%Y-%m-%d %H:%M} UTC, but the newest user is from "
            f"{newest_user:%Y-%m-%d %H:%M}: Better Auth seems to keep its sessions in secondary storage",
            IN_THE_DATABASE,
        )
    elif not live:
        yield note(
            AREA,
            f"all {sessions} session rows have expired; the newest is from {newest_session:%Y-%m-%d %H:%M} UTC",
            f"Sign in once. If that adds no row: {IN_THE_DATABASE}",
        )
    else:
        newest = f", the newest from {newest_session:%Y-%m-%d %H:%M} UTC" if newest_session else ""
        yield ok(AREA, f"{live} of {sessions} sessions are valid{newest}; {users} users")


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
