"""Whether pages of trusted origins can read the responses of an application."""

import functools
import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from starlette.middleware.cors import CORSMiddleware


def problem(applications: Iterable[object], trusted_origins: Sequence[str]) -> str | None:
    """The message for an operator if none of these applications lets a trusted page send cookies.

    The applications serve one request: an application, and those that it is mounted in.
    """
    found: list[object] = []
    for application in applications:
        middlewares = getattr(application, "user_middleware", None)
        if not isinstance(middlewares, list):
            return None  # It is unknown what such an application does.
        found += middlewares
    origins = ", ".join(trusted_origins[:3])
    setting = f"trusted_origins (BETTER_AUTH_TRUSTED_ORIGINS, FRONTEND_URL) contains {origins}"
    unless = "Ignore this if those pages are served from this application's own origin, or a proxy adds CORS headers"
    cors = [middleware for middleware in found if _is_cors(middleware)]
    if not cors:
        return (
            f"{setting}, but the application has no CORSMiddleware, so browsers do not let those pages read its "
            "responses: app.add_middleware(CORSMiddleware, allow_origins=[…], allow_credentials=True, …). " + unless
        )
    if not any(_allows_credentials(middleware) for middleware in cors):
        return (
            f"{setting}, but the application's CORSMiddleware lacks allow_credentials=True, so browsers let those pages "
            "send no cookies. " + unless
        )
    return None


def serving(scope: Mapping[str, Any]) -> list[object]:
    """The applications that serve a request: in a mounted one, the router is its parent's."""
    applications = [scope.get("app"), getattr(scope.get("router"), "dependency_overrides_provider", None)]
    return [application for application in applications if application is not None]


def _class_of(middleware: object) -> object:
    made: object = getattr(middleware, "cls", None)
    while isinstance(made, functools.partial):
        made = made.func  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return made


def _is_cors(middleware: object) -> bool:
    """Starlette's, or another one by its name."""
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
