"""The database: whether it can be reached, with which role, directly or pooled, and how far its clock is off."""

from collections.abc import Iterator
from typing import Any

from auth_middleware._core import Diagnosis
from auth_middleware.cli.doctor.findings import Finding, Status, note, of_error, of_text, ok, warning
from auth_middleware.errors import AuthError

AREA = "database"
MANY_SECONDS = 2.0
STANDBY = "the server is a standby, which may not have replicated a sign-out yet"
ONLY_SELECT = (
    "Give the API a role of its own: CREATE ROLE api LOGIN PASSWORD '…'; GRANT USAGE ON SCHEMA … TO api; "
    'GRANT SELECT ON "user", session TO api'
)


async def findings(diagnosis: Diagnosis, effective: dict[str, Any]) -> list[Finding]:
    """Connects. If that fails, it is a fault, and nothing else in the database is checked."""
    try:
        server = await diagnosis.server()
    except AuthError as error:
        return [of_error(AREA, error, "Is the server running, and is DATABASE_URL correct?")]
    return list(_of_server(server, effective["database"]))


def _of_server(server: dict[str, Any], place: dict[str, Any]) -> Iterator[Finding]:
    kind = "a standby" if server["is_standby"] else "a primary"
    yield ok(AREA, f"connected to {place['address']} as {server['role']}: PostgreSQL {server['version']}, {kind}")
    yield from _tls(server, place)
    names = server["statement_names"]
    if names:
        is_named = names.startswith("lookups use")
        yield ok(AREA, names) if is_named else of_text(AREA, Status.NOTE, names, "See docs/deployment.md")
    if server["is_standby"]:
        yield warning(AREA, STANDBY, "Set DATABASE_URL to the primary")
    yield _clock(server)
    if server["is_superuser"]:
        yield note(AREA, f"the role {server['role']} is a superuser, but SELECT on two tables is enough", ONLY_SELECT)
    elif server["bypasses_row_security"]:
        yield note(AREA, f"the role {server['role']} bypasses row-level security", ONLY_SELECT)
    for text in server["warnings"]:
        yield of_text(AREA, Status.WARNING, text, "See docs/deployment.md")


def _tls(server: dict[str, Any], place: dict[str, Any]) -> Iterator[Finding]:
    mode = place["sslmode"]
    if place["is_local"]:
        yield ok(AREA, f"the server is on this machine; the connection uses {server['tls'] or 'no TLS'}")
    elif server["tls"] is None:
        yield warning(
            AREA,
            f"the connection is not encrypted (sslmode={mode}), so anyone on the network path can read session tokens",
            "Add sslmode=verify-full to DATABASE_URL, and enable TLS on the server",
        )
    elif mode != "verify-full":
        yield note(
            AREA,
            f"the connection uses {server['tls']} and does not check the server's name (sslmode={mode})",
            "Set sslmode=verify-full in DATABASE_URL, with sslrootcert if you use your own certificate authority",
        )
    else:
        yield ok(AREA, f"the connection uses {server['tls']}, and the server's certificate is checked")


def _clock(server: dict[str, Any]) -> Finding:
    ahead: float = server["clock_ahead_seconds"]
    if abs(ahead) <= MANY_SECONDS + server["round_trip_seconds"]:
        return ok(AREA, f"its clock differs from this machine's by {abs(ahead):.2f} s")
    side = "ahead of" if ahead > 0 else "behind"
    return warning(
        AREA,
        f"its clock is {abs(ahead):.0f} s {side} this machine's, so sessions and JWTs end too early or too late",
        "Synchronise the clocks of both machines (NTP)",
    )
