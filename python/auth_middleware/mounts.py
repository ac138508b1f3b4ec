"""Where in an application another one is mounted. A request's scope says only which is the outermost."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

# What an application, router, route or middleware calls. The private one is FastAPI's, for `include_router`.
_INNER = ("app", "original_router")
_MOST_LEVELS = 64


def around(scope: Mapping[str, Any]) -> Iterator[object]:
    """The application that handles a request, and what it is mounted in, from the inside out."""
    app, router = scope.get("app"), scope.get("router")
    yield app
    if router is None or router is getattr(app, "router", None):
        return
    yield from reversed(_path(router, app, set(), _MOST_LEVELS) or [])
    yield getattr(router, "dependency_overrides_provider", None)


def layers(app: object) -> Iterator[object]:
    """The application and the middlewares around it, from the outside."""
    for _ in range(_MOST_LEVELS):
        if app is None:
            return
        yield app
        app = getattr(app, "app", None)


def _path(outer: object, wanted: object, seen: set[int], levels: int) -> list[object] | None:
    """What lies between them, from the outside in; None if one is not inside the other."""
    if id(outer) in seen or not levels:
        return None
    seen.add(id(outer))
    for inner in inside(outer):
        if inner is wanted:
            return [outer]
        if (path := _path(inner, wanted, seen, levels - 1)) is not None:
            return [outer, *path]
    return None


def inside(outer: object) -> Iterator[object]:
    """The routes, applications and routers directly inside of one."""
    for name in _INNER:
        if (inner := getattr(outer, name, None)) is not None:
            yield inner
    routes: object = getattr(outer, "routes", None)
    if isinstance(routes, Iterable):
        yield from routes
