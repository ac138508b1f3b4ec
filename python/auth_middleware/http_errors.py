"""The HTTP responses of errors. The only module that knows HTTP statuses; bodies say nothing that helps a forger."""

from fastapi import HTTPException, status

from auth_middleware.errors import AuthError, ConfigurationError, OriginRefused, SchemaError, StoreUnavailable

# Two challenges in one header: RFC 9110, section 11.6.1.
COOKIE_CHALLENGE = 'Cookie realm="better-auth"'
BEARER_CHALLENGE = 'Bearer realm="better-auth"'


class OriginForbidden(OriginRefused, HTTPException):
    """`OriginRefused` as a 403 response."""


class TemporarilyUnavailable(StoreUnavailable, HTTPException):
    """`StoreUnavailable` as a 503 response."""


class TemporarilyUnreadable(SchemaError, HTTPException):
    """`SchemaError` as a 503 response: the tables are read again every few seconds."""


class Misconfigured(ConfigurationError, HTTPException):
    """`ConfigurationError` as a 500 response."""


def unauthorized(accepts: tuple[bool, bool], *, is_anonymous: bool) -> HTTPException:
    """401, for a route that needs a user or a session. `accepts`: cookies, bearer tokens."""
    detail = "Not authenticated" if is_anonymous else "Invalid or expired session"
    challenges = [
        name for name, is_accepted in zip((COOKIE_CHALLENGE, BEARER_CHALLENGE), accepts, strict=True) if is_accepted
    ]
    return HTTPException(status.HTTP_401_UNAUTHORIZED, detail, {"WWW-Authenticate": ", ".join(challenges)})


def from_error(
    error: AuthError, retry_after_seconds: int
) -> OriginForbidden | TemporarilyUnavailable | TemporarilyUnreadable:
    """403 or 503; to be raised from the error, so that logs have the cause."""
    if isinstance(error, OriginRefused):
        return OriginForbidden(status.HTTP_403_FORBIDDEN, "Origin not allowed")
    kind = TemporarilyUnreadable if isinstance(error, SchemaError) else TemporarilyUnavailable
    headers = {"Retry-After": str(retry_after_seconds)}
    return kind(status.HTTP_503_SERVICE_UNAVAILABLE, "Authentication is temporarily unavailable", headers)


def misconfigured() -> Misconfigured:
    """500: the log has one critical line with the reason."""
    return Misconfigured(status.HTTP_500_INTERNAL_SERVER_ERROR, "Authentication is not configured")
