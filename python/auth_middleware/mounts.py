"""Which applications a request passed before it reached the one that handles it. Its scope has only the outermost."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, cast

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Match, Router

_MOST_LEVELS = 64
# Objects such as mocks have every attribute, and each has more of them.
_MOST_OBJECTS = 10_000

Decides = Callable[[object], bool]


def nearest(scope: Mapping[str, Any], decides: Decides) -> list[object]:
    """Of the application that handles a request and what it is mounted in, the nearest that decides.

    It is None if nothing decides. There are several only if the application is mounted in several places, and the path
    does not tell which of them received the request.
    """
    app, router = scope.get("app"), scope.get("router")
    if decides(app):
        return [app]
    if router is None or router is getattr(app, "router", None):
        return [None]
    outermost = getattr(router, "dependency_overrides_provider", None)
    taken = _route_taken(scope, router, app)
    if taken is not None:
        return [next(filter(decides, [*reversed(taken), outermost]), None)]
    found = list(_nearest_anywhere(router, app, decides))
    fallback = outermost if decides(outermost) else None
    return [fallback if each is router else each for each in found] or [fallback]


def layers(app: object) -> Iterator[object]:
    """The application and the middlewares around it, from the outside."""
    for _ in range(_MOST_LEVELS):
        if app is None:
            return
        yield app
        app = getattr(app, "app", None)


def _route_taken(scope: Mapping[str, Any], router: object, wanted: object) -> list[object] | None:
    """What lies on the route from the router to the application, by matching the path as Starlette does.

    None if the route does not lead there, for example because a middleware has changed the path.
    """
    before = {**scope, "root_path": scope.get("app_root_path", scope.get("root_path", ""))}
    path: list[object] = []
    here: object = router
    while here is not None and len(path) < _MOST_LEVELS:
        if here is wanted:
            # The request may have passed further mounts since.
            return path if scope.get("root_path", "").startswith(before["root_path"]) else None
        path.append(here)
        here = _next(here, before)
    return None


def _next(here: object, scope: dict[str, Any]) -> object:
    """What receives the request next; updates the scope."""
    if isinstance(here, Starlette):
        if root_path := getattr(here, "root_path", ""):  # FastAPI's
            scope["root_path"] = root_path
        return here.router
    if isinstance(here, Router):
        return _matching(here.routes, scope)
    if isinstance(here, BaseRoute) and (candidates := getattr(here, "effective_candidates", None)):
        # FastAPI's routes of an included router, with its prefix.
        return _matching(candidates(), scope)
    return getattr(here, "app", None)


def _matching(routes: Iterable[Any], scope: dict[str, Any]) -> object:
    for route in routes:
        original: object = getattr(route, "original_route", route)
        if _is_leaf(original):
            continue
        match, child_scope = route.matches(scope)
        if match is Match.FULL:
            scope.update(child_scope)
            return getattr(route, "starlette_route", None) or original
    return None


def _nearest_anywhere(router: object, wanted: object, decides: Decides) -> Iterator[object]:
    """The nearest that decides on each route to the application; the router itself where nothing does."""
    parents = _parents(router)
    seen: set[int] = set()
    inner = [wanted]
    while inner:
        for outer in parents[id(inner.pop())]:
            if id(outer) in seen:
                continue
            seen.add(id(outer))
            if decides(outer) or outer is router:
                yield outer
            else:
                inner.append(outer)


def _parents(router: object) -> defaultdict[int, list[object]]:
    """What calls each object below the router, by the object's id."""
    parents: defaultdict[int, list[object]] = defaultdict(list)
    visited = {id(router): router}
    level = [router]
    for _ in range(_MOST_LEVELS):
        next_level: list[object] = []
        for outer in level:
            for inner in inside(outer):
                if _is_leaf(inner):
                    continue
                parents[id(inner)].append(outer)
                if id(inner) in visited:
                    continue
                if len(visited) == _MOST_OBJECTS:
                    return parents
                visited[id(inner)] = inner
                next_level.append(inner)
        level = next_level
    return parents


def _is_leaf(route: object) -> bool:
    """FastAPI's path operations, which have dependencies, call functions and never an application."""
    return isinstance(route, BaseRoute) and hasattr(route, "dependant")


def inside(outer: object) -> Iterator[object]:
    """The routes, applications and routers directly inside of one."""
    app = getattr(outer, "app", None)
    if app is not None:
        yield app
    if isinstance(outer, BaseRoute):
        # A mount also shows the routes of its application, which it does not call itself.
        if (included := getattr(outer, "original_router", None)) is not None:
            yield included
        return
    routes: object = getattr(outer, "routes", None)
    if isinstance(routes, Iterable) and routes is not getattr(app, "routes", None):
        some = islice(cast("Iterable[object]", routes), _MOST_OBJECTS)
        yield from some
