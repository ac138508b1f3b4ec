"""Whether pages of trusted origins can read the responses of an application."""

import functools
import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from starlette.middleware.cors import CORSMiddleware

from auth_middleware.operator_log import OperatorLog


class CorsCheck:
    """Warns once if pages of trusted origins cannot use the application: at start, or at the first request."""

    def __init__(self, log: OperatorLog, trusted_origins: Sequence[str]) -> None:
        self._log = log
        self._trusted_origins = trusted_origins
        self._is_done = not trusted_origins

    def check(self, applications: Sequence[object]) -> None:
        """Check an application and those that it is mounted in."""
        if self._is_done or not all(isinstance(_middlewares(each), list) for each in applications):
            return
        self._is_done = True
        if message := _problem(applications, self._trusted_origins):
            self._log.warn([message])

    def check_first_request(self, scope: Mapping[str, Any] | None) -> None:
        """The same check at the first request, for applications that do not use the lifespan."""
        if self._is_done or scope is None or scope["type"] != "http":
            return
        # In a mounted application, the router is its parent's.
        found = [scope.get("app"), getattr(scope.get("router"), "dependency_overrides_provider", None)]
        self.check([application for application in found if application is not None])


def _middlewares(application: object) -> Any:
    return getattr(application, "user_middleware", None)


def _problem(applications: Iterable[object], trusted_origins: Sequence[str]) -> str | None:
    """The message for an operator if none of these applications allows trusted pages to send cookies."""
    found = [middleware for application in applications for middleware in _middlewares(application)]
    origins = ", ".join(trusted_origins[:3])
    setting = f"trusted_origins (BETTER_AUTH_TRUSTED_ORIGINS, FRONTEND_URL) contains {origins}"
    unless = (
        "Ignore this if those pages are served from this application's own origin, or if a proxy adds the CORS headers"
    )
    cors = [middleware for middleware in found if _is_cors(middleware)]
    if not cors:
        return (
            f"{setting}, but the application has no CORSMiddleware, so browsers do not let those pages read its "
            "responses. Add it: app.add_middleware(CORSMiddleware, allow_origins=[…], allow_credentials=True, …). "
            + unless
        )
    if not any(_allows_credentials(middleware) for middleware in cors):
        return (
            f"{setting}, but the application's CORSMiddleware lacks allow_credentials=True, so browsers do not let "
            "those pages send cookies. " + unless
        )
    return None


def _class_of(middleware: object) -> object:
    made: object = getattr(middleware, "cls", None)
    while isinstance(made, functools.partial):
        made = made.func  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return made


def _is_cors(middleware: object) -> bool:
    """Whether it is Starlette's CORSMiddleware, or another one, judging by its name."""
    made = _class_of(middleware)
    return "cors" in str(getattr(made, "__name__", type(made).__name__)).lower()


def _allows_credentials(middleware: Any) -> bool:
    made = _class_of(middleware)
    if not (isinstance(made, type) and issubclass(made, CORSMiddleware)):
        return True  # Its parameters are unknown.
    args, options = tuple(middleware.args), dict(middleware.kwargs)
    partial = middleware.cls
    while isinstance(partial, functools.partial):
        args, options = (*partial.args, *args), {**partial.keywords, **options}  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        partial = partial.func  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    try:
        given = inspect.signature(made.__init__).bind_partial(None, None, *args, **options).arguments
    except TypeError:
        return True
    given = {**given, **given.get("kwargs", {})}
    return bool(given.get("allow_credentials", False))
