"""The WebSocket cookie validator."""

from starlette.websockets import WebSocket

from auth_middleware.dependencies import serving
from auth_middleware.models import Identity


async def validate_websocket(websocket: WebSocket) -> Identity | None:
    """Who opens this WebSocket; None when nobody: refuse before `accept`.

    Browsers let every page open a WebSocket with the user's cookies, so the origin is checked.

    Raises:
        OriginRefused: a page that is not ours opens it; before `accept` the answer is 403.
        StoreUnavailable, SchemaError: the store cannot say; before `accept` the answer is 503.
    """
    return await serving(websocket).validate_websocket(websocket)
