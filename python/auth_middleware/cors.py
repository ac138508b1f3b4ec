"""Whether pages of trusted origins, and only those, can read an application's responses."""

import functools
import inspect
import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from starlette.middleware.cors import CORSMiddleware

from auth_middleware.operator_log import OperatorLog

# An origin without a wildcard, as a browser sends it, in what may be left of a JSON list.
_ORIGIN = re.compile(
    r"""[\s"'\[]*  (https?://  (?: [a-z0-9_.-]+ | \[(?P<ipv6>[0-9a-f:]+)\] )  (?: : [1-9][0-9]* )?)  [\s"'\]]*""",
    re.VERBOSE,
)
_DEFAULT_PORT = re.compile(r"http:.*:80|https:.*:443")
# Origins of strangers, two of each form. Only a pattern for every site matches both.
_STRANGERS = [
    (f"{scheme}://any.invalid{port}", f"{scheme}://other.test{port}")
    for scheme in ("https", "http")
    for port in ("", ":8443")
]
_UNLESS = (
    "Ignore this if those pages are served from this application's own origin, or if a proxy adds the CORS headers"
)


class CorsCheck:
    """Warns once if the application's CORS does not fit the trusted origins: at start, or at the first request.

    Without trusted origins (None: no cookie is accepted), nothing is checked.
    """

    def __init__(self, log: OperatorLog, trusted_origins: Sequence[str] | None) -> None:
        self._log = log
        self._trusted_origins = trusted_origins or ()
        self._is_done = trusted_origins is None

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
    """The message for an operator if trusted pages cannot use these applications with cookies, or any page can."""
    found = [middleware for application in applications for middleware in _middlewares(application)]
    setting = f"trusted_origins (BETTER_AUTH_TRUSTED_ORIGINS, FRONTEND_URL) contains {', '.join(trusted_origins[:3])}"
    cors = [middleware for middleware in found if _is_cors(middleware)]
    if trusted_origins and not cors:
        return (
            f"{setting}, but the application has no CORSMiddleware, so browsers do not let those pages read its "
            "responses. Add it: app.add_middleware(CORSMiddleware, allow_origins=[…], allow_credentials=True, …). "
            + _UNLESS
        )
    known = [options for middleware in cors if (options := _options(middleware)) is not None]
    if len(known) < len(cors):
        return None
    with_credentials = [options for options in known if options.get("allow_credentials", False)]
    if trusted_origins and not with_credentials:
        return (
            f"{setting}, but the application's CORSMiddleware lacks allow_credentials=True, so browsers do not let "
            f"those pages send cookies. {_UNLESS}"
        )
    if every := next(filter(None, map(_every_origin, with_credentials)), None):
        return (
            f"the application's CORSMiddleware has allow_credentials=True with {every}, which lets pages of every site "
            "read responses to requests with a session cookie. List the origins of your pages in allow_origins "
            "instead, as in trusted_origins (BETTER_AUTH_TRUSTED_ORIGINS)"
        )
    exact = [origin for text in trusted_origins if (origin := _exact(text))]
    left_out = [origin for origin in exact if not any(_allows(options, origin) for options in with_credentials)]
    if left_out:
        return (
            f"trusted_origins (BETTER_AUTH_TRUSTED_ORIGINS, FRONTEND_URL) contains {', '.join(left_out[:3])}, but "
            "allow_origins of the application's CORSMiddleware does not, so browsers do not let those pages read its "
            f"responses. Add the origin there, without a slash at its end. {_UNLESS}"
        )
    return None


def _exact(trusted: str) -> str | None:
    """The origin, if it is spelt as browsers send it. Others never match, which is a warning of its own."""
    match = _ORIGIN.fullmatch(trusted)
    if match is None or _DEFAULT_PORT.fullmatch(match[1]):
        return None
    if match["ipv6"] is not None:
        try:
            if str(ipaddress.IPv6Address(match["ipv6"])) != match["ipv6"]:
                return None
        except ValueError:
            return None
    return match[1]


def _every_origin(options: Mapping[str, Any]) -> str | None:
    """The parameter that allows pages of every site."""
    pattern = options.get("allow_origin_regex")
    try:
        if "*" in options.get("allow_origins", ()):
            return 'allow_origins=["*"]'
        is_for_all = pattern and any(all(re.fullmatch(pattern, each) for each in pair) for pair in _STRANGERS)
    except (TypeError, re.error):
        return None
    return "an allow_origin_regex that matches every site" if is_for_all else None


def _class_of(middleware: object) -> object:
    made: object = getattr(middleware, "cls", None)
    while isinstance(made, functools.partial):
        made = made.func  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return made


def _of_starlette(middleware: object) -> type[CORSMiddleware] | None:
    """The class, if it is Starlette's CORSMiddleware or one derived from it."""
    made: Any = _class_of(middleware)
    return made if isinstance(made, type) and issubclass(made, CORSMiddleware) else None


def _is_cors(middleware: object) -> bool:
    """Whether it is Starlette's CORSMiddleware, or another one, judging by its name."""
    made = _class_of(middleware)
    name = str(getattr(made, "__name__", type(made).__name__))
    return _of_starlette(middleware) is not None or "cors" in name.lower()


def _has_own_methods(made: type[CORSMiddleware]) -> bool:
    """Whether a subclass replaces any method of CORSMiddleware, such as `__init__` or `is_allowed_origin`."""
    methods = {name for name, value in vars(CORSMiddleware).items() if callable(value)}
    derived = made.__mro__[: made.__mro__.index(CORSMiddleware)]
    return any(methods.intersection(vars(base)) for base in derived)


def _options(middleware: Any) -> Mapping[str, Any] | None:
    """The parameters of Starlette's CORSMiddleware; None for another one, which decides by itself."""
    made = _of_starlette(middleware)
    if made is None or _has_own_methods(made):
        return None
    args, options = tuple(middleware.args), dict(middleware.kwargs)
    partial = middleware.cls
    while isinstance(partial, functools.partial):
        args, options = (*partial.args, *args), {**partial.keywords, **options}  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        partial = partial.func  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    try:
        given = inspect.signature(made.__init__).bind_partial(None, None, *args, **options).arguments
    except TypeError:
        return None
    return {**given, **given.get("kwargs", {})}


def _allows(options: Mapping[str, Any], origin: str) -> bool:
    """Whether CORSMiddleware with these parameters lets pages of this origin read responses."""
    pattern = options.get("allow_origin_regex")
    try:
        return origin in options.get("allow_origins", ()) or bool(pattern and re.fullmatch(pattern, origin))
    except (TypeError, re.error):
        return True
