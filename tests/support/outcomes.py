"""What an instance says about a connection: the identity, or the reason of the refusal."""

from typing import Any

from fastapi import HTTPException
from starlette.requests import HTTPConnection

from auth_middleware import Auth, AuthError, Identity


async def outcome(auth: Auth[Any, Any], request: HTTPConnection) -> Identity[Any, Any] | str:
    """By what `freshness` allows; for a refusal, the counter that rose."""
    before = dict(auth.counters)
    try:
        return Identity(session=await auth.current_session(request), user=await auth.current_user(request))
    except AuthError:
        raise
    except HTTPException:
        [reason] = (name for name, count in auth.counters.items() if count > before[name])
        return reason


async def outcome_by_store(auth: Auth[Any, Any], request: HTTPConnection) -> Identity[Any, Any] | str:
    """The same, by what the store says now."""
    before = dict(auth.counters)
    try:
        await auth.fresh_user(request)
    except AuthError:
        raise
    except HTTPException:
        [reason] = (name for name, count in auth.counters.items() if count > before[name])
        return reason
    # The request has it now.
    return Identity(session=await auth.current_session(request), user=await auth.current_user(request))
