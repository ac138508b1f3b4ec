"""The locks and the cookie's name in `/docs`."""

import inspect
from collections.abc import Awaitable, Callable
from functools import partial, update_wrapper
from types import FunctionType
from typing import Annotated, Any, TypeAlias, TypeVar

from fastapi import Depends
from fastapi.security import APIKeyCookie, HTTPBearer
from fastapi.security.base import SecurityBase

Dependency = TypeVar("Dependency", bound=Callable[..., Awaitable[Any]])


# The session cookie's name, and whether cookies and bearer tokens are accepted. Read when `/docs` is generated: when a
# module of the application is imported, the environment may not be set yet.
Accepted: TypeAlias = tuple[str, tuple[bool, bool]]


def documented(dependency: Dependency, accepted: Callable[[], Accepted]) -> Dependency:
    """Show the locks and the cookie's name in `/docs`.

    FastAPI reads the security scheme from `__wrapped__`, and the parameters from `__signature__`. The first lock costs
    a quarter of a microsecond per request. The second is a sub-dependency that does nothing.
    """
    first, *more = [_Scheme(accepted, at) for at in range(sum(accepted()[1]))]
    signature = inspect.signature(dependency, follow_wrapped=False)
    documented: Any = dependency
    if more:
        documented = _with_locks(dependency, [_lock(scheme) for scheme in more], signature)
    else:
        documented.__signature__ = signature
    documented.__wrapped__ = first
    return documented


class _Scheme(SecurityBase):
    """The scheme at a position among those that are accepted, or the last one."""

    def __init__(self, accepted: Callable[[], Accepted], at: int) -> None:
        self._accepted = accepted
        self._at = at

    def _model(self) -> Any:
        return self._scheme().model

    def _name(self) -> Any:
        return self._scheme().scheme_name

    # Not `__getattr__`: FastAPI looks up an attribute that schemes lack for each request.
    model: Any = property(_model)
    scheme_name: Any = property(_name)

    def _scheme(self) -> SecurityBase:
        cookie_name, accepts = self._accepted()
        cookie = APIKeyCookie(name=cookie_name, scheme_name="Better Auth session", auto_error=False)
        bearer = HTTPBearer(scheme_name="Better Auth token", auto_error=False)
        schemes = [scheme for scheme, is_accepted in zip((cookie, bearer), accepts, strict=True) if is_accepted]
        return schemes[min(self._at, len(schemes) - 1)]


def _lock(scheme: SecurityBase) -> Any:
    async def lock() -> None: ...

    shown: Any = lock
    shown.__signature__ = inspect.Signature()
    shown.__wrapped__ = scheme
    return lock


def _with_locks(dependency: Callable[..., Awaitable[Any]], locks: list[Any], signature: inspect.Signature) -> Any:
    parameters = [
        inspect.Parameter(f"lock_{at}", inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[None, Depends(lock)])
        for at, lock in enumerate(locks)
    ]
    names = {parameter.name for parameter in parameters}

    # FastAPI passes the request by its name, and code that awaits the dependency passes it by its position.
    async def locked(*args: Any, **given: Any) -> Any:
        return await dependency(*args, **{name: value for name, value in given.items() if name not in names})

    shown: Any = update_wrapper(locked, dependency)
    shown.__signature__ = signature.replace(parameters=[*signature.parameters.values(), *parameters])
    return shown


def bound(method: Any, instance: object, accepted: Callable[[], Accepted]) -> Any:
    """A method of this instance with its own cookie name in `/docs`. A wrapper would cost each request a coroutine."""
    function = FunctionType(method.__code__, method.__globals__, method.__name__)
    function.__annotations__ = inspect.get_annotations(method)
    dependency: Any = partial(documented(function, accepted), instance)
    dependency.__doc__ = method.__doc__
    dependency.__signature__ = inspect.signature(dependency)
    return dependency
