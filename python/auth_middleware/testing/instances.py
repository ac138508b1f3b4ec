"""Which `Auth` an application uses, as far as its routes and its middleware show it."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from auth_middleware.auth import Auth
from auth_middleware.mounts import inside, layers


def instances_in(app: object) -> set[Auth[Any, Any]]:
    """The instances whose methods are dependencies, in mounted applications too, or that an `AuthMiddleware` has.

    Those that only the code of a route names are not found.
    """
    found: set[Auth[Any, Any]] = set()
    seen: set[int] = set()
    waiting = list(layers(app))
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        waiting += inside(part)
        found.update(_of_middleware(part))
        found.update(_of_dependencies(getattr(part, "dependant", None)))
    return found


def _of_middleware(app: object) -> Iterator[Auth[Any, Any]]:
    for middleware in getattr(app, "user_middleware", ()):
        auth = middleware.kwargs.get("auth")
        if isinstance(auth, Auth):
            yield auth


def _of_dependencies(dependant: Any) -> Iterator[Auth[Any, Any]]:
    """FastAPI's tree. The dependencies of an `Auth` are partial functions of it."""
    call = getattr(dependant, "call", None)
    if isinstance(call, partial):
        yield from (each for each in call.args if isinstance(each, Auth))
    for each in getattr(dependant, "dependencies", ()):
        yield from _of_dependencies(each)
