"""What a client hears. The only place that knows HTTP statuses; bodies tell nothing that helps a forger."""

from fastapi import HTTPException, status

from auth_middleware.errors import AuthError, ConfigurationError, OriginRefused, SchemaError, StoreUnavailable

CHALLENGE = {"WWW-Authenticate": 'Cookie realm="better-auth"'}


class OriginForbidden(OriginRefused, HTTPException):
    """`OriginRefused` as the answer 403."""


class TemporarilyUnavailable(StoreUnavailable, HTTPException):
    """`StoreUnavailable` as the answer 503."""


class TemporarilyUnreadable(SchemaError, HTTPException):
    """`SchemaError` as the answer 503: it is looked at again every few seconds."""


class Misconfigured(ConfigurationError, HTTPException):
    """`ConfigurationError` as the answer 500."""


def not_authenticated() -> HTTPException:
    """The request showed nothing."""
    return HTTPException(status.HTTP_401_UNAUTHORIZED, "Not authenticated", CHALLENGE)


def invalid_session() -> HTTPException:
    """It showed something that is no good: forged, expired, revoked, unreadable."""
    return HTTPException(status.HTTP_401_UNAUTHORIZED, "Invalid or expired session", CHALLENGE)


def misconfigured() -> Misconfigured:
    """We cannot know; the log's one critical line tells why."""
    return Misconfigured(status.HTTP_500_INTERNAL_SERVER_ERROR, "Authentication is not configured")


def from_error(
    error: AuthError, retry_after_seconds: int
) -> OriginForbidden | TemporarilyUnavailable | TemporarilyUnreadable:
    """What an error of ours means as an HTTP answer; to be raised from it."""
    if isinstance(error, OriginRefused):
        return OriginForbidden(status.HTTP_403_FORBIDDEN, "Origin not allowed")
    kind = TemporarilyUnreadable if isinstance(error, SchemaError) else TemporarilyUnavailable
    headers = {"Retry-After": str(retry_after_seconds)}
    return kind(status.HTTP_503_SERVICE_UNAVAILABLE, "Authentication is temporarily unavailable", headers)
