"""The WebSocket cookie validator."""

from starlette.websockets import WebSocket

from auth_middleware.dependencies import serving
from auth_middleware.models import Identity


async def validate_websocket(websocket: WebSocket) -> Identity | None:
    """The identity of whoever opens this WebSocket, or None without a valid session: then close it before `accept`.

    Each call validates again, as `freshness` allows. The origin is checked too, because browsers let every page open
    a WebSocket with the user's cookies.

    Raises:
        OriginRefused: the page that opens it is not trusted; before `accept`, a 403 response.
        StoreUnavailable, SchemaError: the store is unavailable; before `accept`, a 503 response.
    """
    return await serving(websocket).validate_websocket(websocket)
