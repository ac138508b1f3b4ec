"""What a client hears. The only place that knows HTTP statuses; bodies tell nothing that helps a forger."""

from collections.abc import Awaitable
from typing import TypeVar

from fastapi import HTTPException, status

from auth_middleware.errors import AuthError, ConfigurationError, OriginRefused, SchemaError, StoreUnavailable

T = TypeVar("T")

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


async def answered(asked: Awaitable[T], retry_after_seconds: int) -> T:
    """What was asked for, with our errors raised as the HTTP answers that they mean."""
    try:
        return await asked
    except OriginRefused as error:
        raise OriginForbidden(status.HTTP_403_FORBIDDEN, "Origin not allowed") from error
    except AuthError as error:
        kind = TemporarilyUnreadable if isinstance(error, SchemaError) else TemporarilyUnavailable
        headers = {"Retry-After": str(retry_after_seconds)}
        detail = "Authentication is temporarily unavailable"
        raise kind(status.HTTP_503_SERVICE_UNAVAILABLE, detail, headers) from error
