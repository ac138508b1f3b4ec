"""Guards of the default instance, or of the one that an application uses."""

from collections.abc import Iterable

from starlette.requests import HTTPConnection
from starlette.websockets import WebSocket

from auth_middleware.dependencies import serving
from auth_middleware.models import AuthSession, AuthUser
from auth_middleware.session_guards import RequestGuard, WebSocketGuard


def guard_websocket(
    websocket: WebSocket, subprotocol: str | None = None, headers: Iterable[tuple[bytes, bytes]] | None = None
) -> WebSocketGuard[AuthSession, AuthUser]:
    """Accept a WebSocket with a valid session, and close it when that session ends.

        async with guard_websocket(websocket) as identity:
            async for message in websocket.iter_text():
                await websocket.send_text(f"{identity.user.name}: {message}")

    When the session expires or is revoked, or its user is banned or deleted, the socket is closed with code 4001 and
    reason `session ended`, the body is cancelled at its current `await`, and the block ends without an exception. If
    the store cannot be queried for longer than `outage_grace_seconds`, the code is 4002. A socket that is already
    accepted is not accepted again.

    Args:
        websocket: The socket.
        subprotocol: The subprotocol to accept with.
        headers: Headers to accept with.

    Raises:
        HTTPException: 401 without a valid session, 403 from an untrusted page, 503 if the store is unavailable.
            If the socket is already accepted, it is a `WebSocketException` too, which closes the socket.
    """
    return serving(websocket).guard_websocket(websocket, subprotocol, headers)


def guard_request(request: HTTPConnection) -> RequestGuard[AuthSession, AuthUser]:
    """Watch the session of a long-running request, such as a stream or server-sent events.

        async with guard_request(request) as guard:
            async for event in guard.until_ended(events_of(guard.identity.user)):
                yield event

    `guard.ended` is a future that is done when the session ends; nothing is cancelled. The request is identified once,
    together with the dependencies.

    Raises:
        HTTPException: 401 without a valid session, 403 from an untrusted page, 503 if the store is unavailable.
    """
    return serving(request).guard_request(request)
