"""`AuthTestKit`: sessions for test requests, and ways to end them."""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar, overload

from auth_middleware.auth import Auth
from auth_middleware.configuration import configuration_of
from auth_middleware.models import AuthSession, AuthUser, SessionT_co, UserT_co
from auth_middleware.testing.login import Login
from auth_middleware.testing.memory import MemoryServer, Strategy, of_the_application, signing_secret
from auth_middleware.testing.rows import converted, made, values_of

OwnUser = TypeVar("OwnUser", bound=AuthUser)
OwnSession = TypeVar("OwnSession", bound=AuthSession)

# Better Auth's defaults.
COOKIE_CACHE_SECONDS = 300
JWT_SECONDS = 900


class AuthTestKit(Generic[SessionT_co, UserT_co]):
    """An `Auth` whose sessions are in memory, and a replacement for the Better Auth server.

    `app.dependency_overrides[get_auth] = lambda: kit.auth` makes an application use it.

    Args:
        user_model: Your own model, as for `Auth`.
        session_model: Likewise.
        settings: Those of `AuthSettings`, such as `credentials` or `freshness`. By `secrets` or `secret`, the kit signs
            as the Better Auth server does. Settings of connections are refused. From the environment, only the settings
            for the names of the cookies and the trusted origins are read.

    Raises:
        ConfigurationError: a setting is wrong.
    """

    @overload
    def __init__(self, *, user_model: type[UserT_co], session_model: type[SessionT_co], **settings: Any) -> None: ...
    @overload
    def __init__(self: "AuthTestKit[AuthSession, OwnUser]", *, user_model: type[OwnUser], **settings: Any) -> None: ...
    @overload
    def __init__(
        self: "AuthTestKit[OwnSession, AuthUser]", *, session_model: type[OwnSession], **settings: Any
    ) -> None: ...
    @overload
    def __init__(self: "AuthTestKit[AuthSession, AuthUser]", **settings: Any) -> None: ...
    def __init__(
        self, *, user_model: type[Any] = AuthUser, session_model: type[Any] = AuthSession, **settings: Any
    ) -> None:
        self._user_model = user_model
        self._session_model = session_model
        self._server = MemoryServer(signing_secret(settings))
        self._settings = self._server.settings({**of_the_application(), **settings})
        self._users: dict[str, UserT_co] = {}
        self._sessions: dict[str, SessionT_co] = {}
        # By the user's id, when the ban lapses; None: never.
        self._bans: dict[str, datetime | None] = {}
        self._outages = 0
        self.auth: Auth[SessionT_co, UserT_co] = Auth(
            self._settings, user_model=user_model, session_model=session_model
        )

    @contextmanager
    def replaces(self, auth: Auth[SessionT_co, UserT_co]) -> Generator[None]:
        """While the block runs, an `Auth` of the application's own works as `kit.auth` does.

        That applies to each of its dependencies, guards and methods, its lifespan, and `AuthMiddleware` with it. In an
        application with `signed_in`, that user is identified all the same.

        Raises:
            TypeError: the models of `auth` are not the kit's.
        """
        _require("replaces needs an Auth", auth, Auth)
        with configuration_of(auth).replaced_by(configuration_of(self.auth)):
            yield

    @property
    def now(self) -> datetime:
        """The time by which sessions expire: the real time, plus what `advance` added."""
        return self._server.store.now()

    @property
    def lookups(self) -> int:
        """How many sessions and users were looked up in the store, as opposed to a cache."""
        return self._server.store.lookups()

    @property
    def jwks(self) -> dict[str, Any]:
        """The JWKS document with the public key of the JWTs."""
        return self._server.jwks()

    def login(
        self,
        user: AuthUser | None = None,
        *,
        session: AuthSession | None = None,
        cookie_cache: bool | Strategy = False,
        cookie_cache_seconds: float = COOKIE_CACHE_SECONDS,
        allow_banned: bool = False,
    ) -> Login[SessionT_co, UserT_co]:
        """A new session of this user, or of a new one.

        Args:
            user: Usually from `make_user`. Other fields that the kit's own model requires get generated values.
            session: Usually from `make_session`; it becomes the user's.
            cookie_cache: Whether `cookies` and `headers` also have Better Auth's `session_data`. True uses the setting
                `cache_strategy`; a strategy uses that one.
            cookie_cache_seconds: How long that may be trusted.
            allow_banned: Whether to add a session although the user is banned. The ban stays.

        Raises:
            TypeError: the user or the session has a field that the kit's model does not have.
            ValueError: the user is banned, so that Better Auth refuses the sign-in.
        """
        _require("login needs a user", user, AuthUser, None)
        _require("login needs a session", session, AuthSession, None)
        now = self.now
        row: UserT_co = self._row(self._user_model, user, now) if user else made(self._user_model, {}, now)
        if not allow_banned:
            self._refuse_banned(row, now)
        of_session = {**values_of(session), "user_id": row.id} if session else {"user_id": row.id}
        known: SessionT_co = made(self._session_model, of_session, now)
        self._put(known, row)
        self._sessions[known.token] = known
        signed = self._server.signed(known.token)
        cookies = {self._settings.core.cookie_name: signed}
        if cookie_cache:
            strategy: Any = self._settings.cache_strategy if cookie_cache is True else cookie_cache
            cookies[self._settings.core.cache_cookie_name] = self._server.snapshot(
                strategy,
                known,
                row,
                origin=self._settings.origin,
                version=self._settings.cache_version,
                max_age=cookie_cache_seconds,
            )
        bearer = self._server.store.sign_token(known.token)
        return Login(known, row, cookies, bearer, self.jwt(row))

    def jwt(self, user: AuthUser | None = None, *, expires_in: float = JWT_SECONDS, **claims: object) -> str:
        """A JWT of this user, or of a new one, as Better Auth's jwt plugin issues it.

        `kit.auth` accepts it if the kit's `credentials` list `jwt`.

        Args:
            user: Usually from `make_user`.
            expires_in: Seconds.
            claims: Further claims, and other values of the usual ones.
        """
        _require("jwt needs a user", user, AuthUser, None)
        row: UserT_co = self._row(self._user_model, user, self.now) if user else made(self._user_model, {}, self.now)
        if str(row.id) not in self._users:
            self._put(None, row)
        issuer = self._settings.jwt_issuer or self._settings.origin
        audience = self._settings.jwt_audience or self._settings.origin
        return self._server.jwt(row, issuer=issuer, audience=audience, lifetime=expires_in, claims=claims)

    def revoke(self, session: AuthSession | Login[Any, Any]) -> None:
        """Sign out: delete the session's row.

        As in production, a cookie cache identifies the user until it expires.
        """
        known = self._known_session(session)
        self._server.store.remove_session(known.token)
        del self._sessions[known.token]

    def expire(self, session: AuthSession | Login[Any, Any]) -> None:
        """Set `expires_at` to a moment ago."""
        known = self._known_session(session)
        expired = known.model_copy(update={"expires_at": self.now - timedelta(milliseconds=1)})
        self._sessions[known.token] = expired
        self._put(expired, self._known_user(known.user_id))

    def ban(self, user: AuthUser | Login[Any, Any], until: datetime | None = None) -> None:
        """Ban a user, as Better Auth's admin plugin does; without `until`, until `unban`."""
        known = self._known_user(_user_id("ban", user))
        if until is not None and until.tzinfo is None:
            until = until.replace(tzinfo=UTC)
        self._bans[str(known.id)] = until
        self._put(None, known)

    def unban(self, user: AuthUser | Login[Any, Any]) -> None:
        """Lift the ban of a user. Sessions from before the ban are accepted again."""
        known = self._known_user(_user_id("unban", user))
        self._bans.pop(str(known.id), None)
        self._put(None, known)

    def advance(self, seconds: float | timedelta) -> None:
        """Move the clock of `auth` forward, so that sessions, cookie caches, JWTs and cache entries expire.

        Raises:
            TypeError: it is neither a number of seconds nor a `timedelta`.
            ValueError: the number is negative or not finite.
        """
        _require("advance needs seconds or a timedelta", seconds, float, int, timedelta)
        self._server.store.advance(seconds.total_seconds() if isinstance(seconds, timedelta) else seconds)

    @contextmanager
    def outage(self) -> Generator[None]:
        """Make the store unavailable: requests with a well-signed session get 503 responses."""
        self._outages += 1
        self._server.store.set_unavailable(True)
        try:
            yield
        finally:
            self._outages -= 1
            if not self._outages:
                self._server.store.set_unavailable(False)

    def _put(self, session: AuthSession | None, user: Any) -> None:
        """Insert or replace the rows. A ban stays until it is lifted."""
        id_ = str(user.id)
        ban = {"banned": True, "ban_expires": self._bans[id_]} if id_ in self._bans else {}
        self._server.put(self._settings.core, session, user, **ban)
        self._users[id_] = user

    def _refuse_banned(self, user: AuthUser, now: datetime) -> None:
        """As Better Auth's admin plugin, which lifts a ban that has lapsed when the user signs in."""
        id_ = str(user.id)
        of_model: datetime | None = getattr(user, "ban_expires", None)
        if id_ in self._bans:
            until = self._bans[id_]
        elif getattr(user, "banned", None):
            until = of_model and (of_model if of_model.tzinfo else of_model.replace(tzinfo=UTC))
        else:
            return
        if until is not None and until <= now:
            self._bans.pop(id_, None)
            return
        raise ValueError(
            f"the user {id_} is banned, and Better Auth refuses the sign-in: call unban first, or pass "
            "allow_banned=True for a session from before the ban"
        )

    def _row(self, model: type[Any], row: AuthUser, now: datetime) -> Any:
        unknown = ", ".join(sorted(type(row).model_fields.keys() - model.model_fields.keys()))
        if unknown:
            raise TypeError(
                f"{model.__name__} has no field {unknown}: pass your own model, AuthTestKit(user_model=…), or leave "
                "it out"
            )
        return converted(model, row, now)

    def _known_session(self, session: AuthSession | Login[Any, Any]) -> SessionT_co:
        _require("a session or a Login is needed", session, AuthSession, Login)
        token = session.token
        try:
            return self._sessions[token]
        except KeyError:
            raise LookupError("this kit has no such session: it was revoked, or another kit's login made it") from None

    def _known_user(self, id: object) -> UserT_co:  # noqa: A002 - the name of the column
        try:
            return self._users[str(id)]
        except KeyError:
            raise LookupError("this kit has no such user: call login or jwt with it first") from None


def _user_id(method: str, user: AuthUser | Login[Any, Any]) -> object:
    _require(f"{method} needs a user or a Login", user, AuthUser, Login)
    return user.user.id if isinstance(user, Login) else user.id


def _require(what: str, value: object, *types: type | None) -> None:
    if value is None and None in types:
        return
    if isinstance(value, bool) or not isinstance(value, tuple(each for each in types if each)):
        raise TypeError(f"{what}, not {type(value).__name__}")
