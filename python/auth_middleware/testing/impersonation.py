"""`signed_in`: every request to an application is identified as one user."""

import itertools
from collections.abc import Callable, Generator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from threading import Lock
from typing import Any, cast

from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from auth_middleware import stand_ins
from auth_middleware._core import Core
from auth_middleware.configuration import configuration_of
from auth_middleware.errors import ConfigurationError
from auth_middleware.models import AuthSession, AuthUser, Identity, SessionT_co, UserT_co
from auth_middleware.mounts import layers
from auth_middleware.parts import Parts, parts_with
from auth_middleware.row_models import RowModels
from auth_middleware.settings import AuthSettings, accepted_credentials, session_cookie_name
from auth_middleware.testing.instances import instances_in
from auth_middleware.testing.memory import MemoryServer, of_the_application
from auth_middleware.testing.names import for_user_and_session
from auth_middleware.testing.rows import converted, make_session, make_user

# What decides, beside the cookies' names and the trusted origins, which credential an application accepts.
_OF_CREDENTIALS = ("credentials", "bearer_unsigned", "jwt_issuer", "jwt_audience")


@contextmanager
def signed_in(app: object, name: str = "Ada", **fields: Any) -> Generator[Identity[AuthSession, AuthUser]]:
    """While the block runs, every request to the application is identified as this user, whatever credential it has.

    That applies to every dependency of every `Auth`, `validate_websocket`, `validate_session` and `AuthMiddleware`, in
    mounted applications too. Nothing connects to a database and no setting is required. Blocks can be nested: the
    innermost one applies.

    Args:
        app: A FastAPI or Starlette application, or one with middleware wrapped around it.
        name: The user's name.
        fields: Further fields of the user or of the session, including those of your own models.

    Raises:
        TypeError: `app` is not such an application, no model has such a field, or a model requires one for which no
            value can be generated.
        ValidationError: a value does not fit a model.
    """
    application = _application_in(app)
    of_user, of_session = for_user_and_session(fields)
    user = make_user(name=name, **of_user)
    session = make_session(user_id=user.id, **of_session)
    person = Person(application, session, user)
    for auth in instances_in(app):
        person.rows(configuration_of(auth).models)
    _covered.enter(person)
    try:
        yield Identity(session, user)
    finally:
        _covered.leave(person)


class Person:
    """Who sends the requests to an application. Has a stand-in for each `Auth` that they meet."""

    _numbers = itertools.count()

    def __init__(self, application: Starlette, session: AuthSession, user: AuthUser) -> None:
        self.application = application
        self.parent = _innermost_here.get()
        self.number = next(Person._numbers)
        self.is_over = False
        self._session = session
        self._user = user
        # Every stand-in accepts the same cookie: an application may read it before it is known which `Auth` checks it.
        self._server = MemoryServer()
        self._made: dict[RowModels[Any, Any], Parts[Any, Any]] = {}
        self._making = Lock()
        self._cookie_name = session_cookie_name() if accepted_credentials()[0] else None

    def parts(
        self, settings: AuthSettings | None, models: RowModels[SessionT_co, UserT_co]
    ) -> Parts[SessionT_co, UserT_co] | None:
        """The stand-in for an instance with these models; None if the block has ended."""
        if self.is_over:
            return None
        with self._making:
            if models not in self._made:
                self._made[models] = self._make(settings, models)
            return self._made[models]

    def rows(self, models: RowModels[SessionT_co, UserT_co]) -> Identity[SessionT_co, UserT_co]:
        """The session and the user as these models.

        Raises:
            TypeError, ValidationError: as `signed_in`.
        """
        now = datetime.now(UTC)
        user: UserT_co = converted(models.user_model, self._user, now)
        of_session = self._session.model_copy(update={"user_id": user.id})
        session: SessionT_co = converted(models.session_model, of_session, now)
        return Identity(session, user)

    def present_cookie(self, scope: Scope) -> None:
        """Show the session cookie to code that reads it itself."""
        if self._cookie_name and scope["type"] in ("http", "websocket"):
            _set_cookie(scope, self._cookie_name, self._server.signed(self._session.token))

    def descends_from(self, other: "Person") -> bool:
        """Whether its block is inside of the other's, or it is the same."""
        person: Person | None = self
        while person is not None and person is not other:
            person = person.parent
        return person is other

    def end(self) -> None:
        self.is_over = True
        for parts in self._made.values():
            parts.core.close()

    def _make(
        self, settings: AuthSettings | None, models: RowModels[SessionT_co, UserT_co]
    ) -> Parts[SessionT_co, UserT_co]:
        server = MemoryServer(self._server.secret, self._server.seed)
        in_memory = server.settings({**of_the_application(settings), **_credentials(settings)})
        core = models.core(in_memory)
        session, user = self.rows(models)
        server.put(core, session, user)
        cookie = server.signed(self._session.token)
        is_cookie_accepted, is_bearer_accepted = core.accepts
        if is_cookie_accepted:

            def present(scope: Scope) -> None:
                if is_bearer_accepted:
                    _remove_bearer(scope)
                _set_cookie(scope, core.cookie_name, cookie)

        else:
            bearer = server.store.sign_token(self._session.token)
            if "bearer" not in in_memory.credentials:
                issuer = in_memory.jwt_issuer or in_memory.origin
                audience = in_memory.jwt_audience or in_memory.origin
                bearer = server.jwt(user, issuer=issuer, audience=audience, lifetime=86_400, claims={})

            def present(scope: Scope) -> None:
                _set_header(scope, b"authorization", f"Bearer {bearer}".encode())

        return parts_with(cast(Core, PresentingCore(core, present, cookie)), models, None)


class PresentingCore:
    """A core that finds a person's credential in every request."""

    def __init__(self, core: Core, present: Callable[[Scope], None], cookie_value: str) -> None:
        self._core = core
        self._present = present
        self._cookie_value = cookie_value

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._core, name)
        if not callable(value):
            return value

        def call(*arguments: Any, **options: Any) -> Any:
            for argument in arguments:
                if isinstance(argument, MutableMapping) and "headers" in argument:
                    self._present(cast(Scope, argument))
            return value(*arguments, **options)

        return call

    def identify_value(self, _cookie_value: str) -> Any:
        return self._core.identify_value(self._cookie_value)


class Gate:
    """Wraps an application's middleware, and decides which user sends the request."""

    def __init__(self, application: Starlette, stack: ASGIApp) -> None:
        self.application = application
        self.stack = stack

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        person = _covered.find(self.application)
        outer = stand_ins.current.get()
        # A block for the outer application takes precedence over one for a mounted application if it is nested deeper.
        if person is None or (isinstance(outer, Person) and not outer.is_over and outer.number > person.number):
            await self.stack(scope, receive, send)
            return
        before = stand_ins.current.set(person)
        try:
            person.present_cookie(scope)
            await self.stack(scope, receive, send)
        finally:
            stand_ins.current.reset(before)


class Covered:
    """The persons whose blocks run, in the order in which these began."""

    def __init__(self) -> None:
        self._persons: list[Person] = []
        self._lock = Lock()

    def enter(self, person: Person) -> None:
        """A block begins."""
        with self._lock:
            self._persons.append(person)
            _install(person.application)
        _innermost_here.set(person)
        stand_ins.find_with(self.find)

    def leave(self, person: Person) -> None:
        """A block ends."""
        with self._lock:
            self._persons.remove(person)
            if all(other.application is not person.application for other in self._persons):
                _uninstall(person.application)
        person.end()
        # Not by a token: a fixture may end in another context than it began in.
        if _innermost_here.get() is person:
            _innermost_here.set(person.parent)

    def find(self, application: object = None) -> Person | None:
        """Who sends a request to this application; without one, the person of the innermost block.

        Of blocks that run at the same time, in other tasks or threads, this context's own counts. A server or a client
        may have been started in an outer block: then the innermost one inside of that counts.
        """
        with self._lock:
            persons = [each for each in self._persons if application in (None, each.application)]
        here = _innermost_here.get()
        while here is not None and here not in persons:
            here = here.parent
        inside = [person for person in persons if here is None or person.descends_from(here)]
        return inside[-1] if inside else None


_innermost_here: ContextVar[Person | None] = ContextVar("auth_middleware signed_in", default=None)
_covered = Covered()


def _application_in(app: object) -> Starlette:
    for layer in layers(app):
        if isinstance(layer, Starlette):
            return layer
    raise TypeError(f"signed_in needs a FastAPI or Starlette application, not {type(app).__name__}")


def _install(application: Starlette) -> None:
    if "build_middleware_stack" in vars(application):
        return
    build = application.build_middleware_stack
    # Built at the first request, so that the test may still add middleware.
    vars(application)["build_middleware_stack"] = lambda: Gate(application, build())
    if application.middleware_stack is not None:
        application.middleware_stack = Gate(application, application.middleware_stack)


def _uninstall(application: Starlette) -> None:
    vars(application).pop("build_middleware_stack", None)
    if isinstance(application.middleware_stack, Gate):
        application.middleware_stack = application.middleware_stack.stack


def _credentials(settings: AuthSettings | None) -> dict[str, Any]:
    """Which credentials the application accepts."""
    try:
        settings = settings or AuthSettings()
    except ConfigurationError:
        return {}
    values = {name: value for name in _OF_CREDENTIALS if (value := getattr(settings, name)) not in (None, ())}
    if settings.neon_auth_base_url and not settings.credentials:
        values["credentials"] = ("jwt",)
    return values


def _set_cookie(scope: Scope, name: str, value: str) -> None:
    """The cookie, in place of another one by this name."""
    headers: list[tuple[bytes, bytes]] = list(scope["headers"])
    pairs = b";".join(header for key, header in headers if key.lower() == b"cookie").split(b";")
    others = [pair.strip() for pair in pairs if pair.strip() and pair.split(b"=")[0].strip() != name.encode()]
    _set_header(scope, b"cookie", b"; ".join([f"{name}={value}".encode(), *others]))


def _remove_bearer(scope: Scope) -> None:
    """Where bearer tokens are accepted, one would decide instead of the cookie."""
    is_bearer = [key.lower() == b"authorization" and value[:7].lower() == b"bearer " for key, value in scope["headers"]]
    if any(is_bearer):
        scope["headers"] = [pair for pair, is_one in zip(scope["headers"], is_bearer, strict=True) if not is_one]


def _set_header(scope: Scope, name: bytes, value: bytes) -> None:
    others = [(key, header) for key, header in scope["headers"] if key.lower() != name]
    scope["headers"] = [(name, value), *others]
