"""How current an identity is, and for `live` whether notifications arrive."""

from typing import Any

from auth_middleware._core import Diagnosis
from auth_middleware.cli.doctor.findings import Finding, Status, fault, note, of_error, of_text, ok, warning
from auth_middleware.errors import AuthError

AREA = "freshness"
SEE = "See docs/freshness.md"


async def findings(diagnosis: Diagnosis, effective: dict[str, Any], *, is_connected: bool) -> list[Finding]:
    """What `freshness` means in effect; for `live`, a real notification is sent and received."""
    found = [of_text(AREA, Status.WARNING, text, SEE) for text in effective["warnings"] if text.startswith("freshness")]
    kind = effective["freshness"]
    if not effective["listens"]:
        return [*found, *([] if found else [_of_kind(kind)])]
    if not is_connected:
        return [*found, note(AREA, "live: not checked, because the database cannot be reached", SEE)]
    try:
        problem = await diagnosis.feed()
    except AuthError as error:
        return [*found, of_error(AREA, error, "Set AUTH_MIDDLEWARE_LISTEN_DATABASE_URL to a direct connection")]
    if problem is not None:
        finding = of_text(AREA, Status.FAULT, problem, "Run python -m auth_middleware migrate live")
        return [*found, fault(AREA, f"live: {finding.message}", finding.fix or SEE)]
    message = "live: the triggers are those of this release, and a notification was sent and received"
    return [*found, ok(AREA, message)]


def _of_kind(kind: str) -> Finding:
    if kind == "cookie_cache":
        return warning(
            AREA,
            "cookie_cache: a revoked session or a banned user stays valid until Better Auth's snapshot expires",
            "Use live, which sees a sign-out at once: AUTH_MIDDLEWARE_FRESHNESS=live",
        )
    if kind == "seconds":
        return note(
            AREA,
            "a revoked session or a banned user stays valid for the seconds of AUTH_MIDDLEWARE_FRESHNESS",
            "Use live, which sees a sign-out at once: AUTH_MIDDLEWARE_FRESHNESS=live",
        )
    return ok(AREA, "always: each request queries the database")
