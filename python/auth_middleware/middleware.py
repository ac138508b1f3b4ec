"""`AuthMiddleware`: identifies each request before the application's own code runs."""

import logging
import re
from collections.abc import Iterable
from typing import Any, cast, final
from urllib.parse import unquote

from starlette.authentication import AuthCredentials, UnauthenticatedUser
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from auth_middleware import http_errors, stand_ins
from auth_middleware.auth import Auth
from auth_middleware.dependencies import SCOPE_KEY, Passed, get_auth, serving
from auth_middleware.errors import ConfigurationError
from auth_middleware.mounts import layers

logger = logging.getLogger("auth_middleware")

# Segments . and .., which lead out of a prefix if what serves the files below it resolves them: also written with
# backslashes (Windows), with parameters (Tomcat), or encoded twice (a proxy that decodes once more).
_DOTS = re.compile(r"(?:[/\\]|%2f|%5c)(?:\.|%2e){1,2}(?=$|[/\\;?#]|%2f|%5c|%3b)", re.IGNORECASE)
_ESCAPE = re.compile(r"%[0-9a-f]{2}", re.IGNORECASE)
_NEVER_IN_PATHS = frozenset("*?#{}")


@final
class AuthMiddleware:
    """Sets `request.user` and `request.auth`, for HTTP requests and WebSockets, as Starlette's own middleware does.

    `request.user` is the `AuthUser`, or an `UnauthenticatedUser`; `requires("authenticated")` works. Dependencies share
    the lookup. A request from an origin that is not trusted gets a 403 response, and every request gets a 503 response
    while the store is unavailable.

    Add it before `CORSMiddleware`: the middleware that is added last is outermost, and pages of other origins can read
    only responses that pass through `CORSMiddleware`.

    Args:
        app: The application.
        auth: The instance to use; by default, the one that the dependencies use.
        required: Requests without a valid session get a 401 response, except for CORS preflights.
        exclude: Paths that need no session even with `required`. They match exactly; `/static/*` matches everything
            below `/static/`. If the application is mounted, they are relative to the mount.

    Raises:
        ConfigurationError: `auth` is not an `Auth`, or `exclude` contains a path that never matches.
    """

    def __init__(
        self, app: ASGIApp, auth: Auth[Any, Any] | None = None, required: bool = False, exclude: Iterable[str] = ()
    ) -> None:
        self.app = app
        _check_auth(auth)
        self._auth = auth
        *_, self._innermost = layers(app)
        self._application = next((inner for inner in layers(app) if hasattr(inner, "dependency_overrides")), None)
        self._required = required
        exclude = _checked_paths(exclude)
        self._paths = frozenset(path for path in exclude if not path.endswith("/*"))
        self._prefixes = tuple(path.removesuffix("*") for path in exclude if path.endswith("/*"))
        if exclude and not required:
            logger.warning("AuthMiddleware: exclude has no effect without required=True")
        if any(isinstance(inner, CORSMiddleware) for inner in layers(app)):
            logger.warning(
                "AuthMiddleware is outside CORSMiddleware, so pages of other origins cannot read its responses: add "
                "AuthMiddleware first, and CORSMiddleware after it"
            )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Identify a request, and pass it on or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        try:
            with stand_ins.chosen_for(self._innermost):
                auth = self._auth_of(connection)
                identify = Auth.current_user if self._requires_user(connection) else Auth.optional_user
                user = await identify(auth, connection)
        except HTTPException as error:
            await _refuse(error, scope, receive, send)
            return
        scope[SCOPE_KEY] = Passed(auth, self, scope.get("app"))
        scope["user"] = user or UnauthenticatedUser()
        scope["auth"] = AuthCredentials(["authenticated"] if user else [])
        await self.app(scope, receive, send)

    def _auth_of(self, connection: HTTPConnection) -> Auth[Any, Any]:
        if self._auth is not None:
            return self._auth
        has_own = get_auth in getattr(self._application, "dependency_overrides", ())
        if "app" in connection.scope and not has_own:
            return serving(connection)
        # It is wrapped around the application, which has not seen the request yet.
        return serving(HTTPConnection({**connection.scope, "app": self._application}))

    def _requires_user(self, connection: HTTPConnection) -> bool:
        if not self._required or _is_preflight(connection):
            return False
        path = self._path_in_application(connection.scope)
        if path in self._paths:
            return False
        return not path.startswith(self._prefixes) or bool(_DOTS.search(path))

    def _path_in_application(self, scope: Scope) -> str:
        """The path by which Starlette finds the application's routes, also if it is mounted."""
        path: str = scope["path"]
        # FastAPI sets its own root path after a middleware that is around it.
        root: str = getattr(self._application, "root_path", "") or scope.get("root_path", "")
        below = path.removeprefix(root)
        return below if not below or below.startswith("/") else path


async def _refuse(error: HTTPException, scope: Scope, receive: Receive, send: Send) -> None:
    is_http = scope["type"] == "http"
    if is_http or "websocket.http.response" in (scope.get("extensions") or {}):
        await http_errors.http_response(error)(scope, receive, send)
        return
    # The server responds to the handshake with 403, whatever the code is.
    await send({"type": "websocket.close", "code": 1008, "reason": error.detail})


def _is_preflight(connection: HTTPConnection) -> bool:
    """Fetch standard, section 3.3.2. Browsers send no credentials with it."""
    is_options = connection.scope["type"] == "http" and connection.scope["method"] == "OPTIONS"
    return is_options and {"origin", "access-control-request-method"}.issubset(connection.headers)


def _check_auth(auth: object) -> None:
    if auth is not None and not isinstance(auth, Auth):
        raise ConfigurationError(f"AuthMiddleware: auth must be an instance of Auth, not of {type(auth).__name__}")


def _checked_paths(exclude: object) -> list[str]:
    if isinstance(exclude, str):
        raise ConfigurationError(f"AuthMiddleware: exclude must be a list of paths: exclude=[{exclude!r}]")
    if not isinstance(exclude, Iterable):
        raise ConfigurationError(f"AuthMiddleware: exclude must be a list of paths, not {exclude!r}")
    return [_checked_path(path) for path in cast("Iterable[object]", exclude)]


def _checked_path(path: object) -> str:
    if not isinstance(path, str) or not path.startswith("/") or not _NEVER_IN_PATHS.isdisjoint(path.removesuffix("/*")):
        raise ConfigurationError(
            f"AuthMiddleware: exclude contains {path!r}, which matches nothing: paths begin with /, have no query or "
            "parameters, and only /* at the end stands for everything below"
        )
    if _ESCAPE.search(path):
        raise ConfigurationError(
            f"AuthMiddleware: exclude contains {path!r}, which matches nothing, because servers decode paths: write "
            f"{unquote(path)!r}"
        )
    return path
