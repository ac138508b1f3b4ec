"""The Rust core, as Python sees it."""

from collections.abc import Awaitable, Generator, Mapping, MutableMapping, Sequence
from datetime import datetime
from typing import Any, Literal, Protocol, TypeAlias, final

__all__ = [
    "Core",
    "Diagnosis",
    "Found",
    "Migrations",
    "Refused",
    "RequestState",
    "TestStore",
    "Watch",
    "__version__",
    "accepted_credentials",
    "check_settings",
    "default_settings",
    "error_type",
    "lookup_duration_bounds",
    "lookup_durations",
    "metric_points",
    "session_cookie_name",
]

__version__: str

_Reason: TypeAlias = Literal[
    "no_cookie",
    "wrong_cookie_name",
    "no_token",
    "origin",
    "bad_signature",
    "bad_token",
    "unknown_session",
    "unknown_user",
    "unreadable",
    "expired",
    "banned",
]

_Credential: TypeAlias = Literal["cookie", "bearer", "jwt"]

@final
class Refused:
    """A request without a valid session, and why. For logs and counters, never for clients."""

    @property
    def reason(self) -> _Reason: ...
    @property
    def detail(self) -> str | None:
        """The refused origin, or the cookie name or host name that came instead. Printable, of bounded length."""
    @property
    def cause(self) -> str | None:
        """What is probably wrong, if the refusal may come from a wrong setting."""
    @property
    def expired_at(self) -> datetime | None:
        """When the session expired, if that is why."""
    @property
    def is_anonymous(self) -> bool:
        """Whether the request has no credential at all, as opposed to an invalid one."""
    @property
    def is_foreign_origin(self) -> bool:
        """Whether a page that is not trusted sent the request."""

@final
class Found:
    """A session and its user, before Python has created its models from them."""

    def fields(self) -> tuple[dict[str, Any] | None, dict[str, Any]]:
        """The fields of the session, which a JWT has not, and of the user, by name in snake_case."""
    def cache_object(self, made: object) -> None:
        """Caches the models: `Core.identify` returns them while the cache holds the same identity."""

@final
class RequestState:
    """What is known about one request; its dependencies share it. Awaiting it waits for its lookup.

    Each waiter has a future of its own: cancelling one does not cancel the others.

    Raises:
        StoreUnavailable: the store did not respond in time.
        SchemaError: the tables cannot be read.
    """

    @property
    def verdict(self) -> Found | Refused | Any | None:
        """What is known without a lookup: `Found` by a cache, `Refused`, an `AuthError`, or the outcome."""
    @property
    def outcome(self) -> Any | None:
        """What `conclude` was called with."""
    @property
    def credential(self) -> _Credential | None:
        """The kind of credential that the request presents."""
    def record_lookup(self, found: object) -> tuple[float, dict[str, str]] | None:
        """Records how long the lookup took, to be called before `conclude`; None if it was recorded before.

        Returns the seconds and the attributes: outcome, credential and error type.
        """
    def conclude(self, outcome: object) -> list[str]:
        """Sets and counts the outcome: an `Identity`, `Refused` or an `AuthError`. Returns messages for operators."""
    def give_up(self) -> None:
        """To be called by a waiter that was cancelled. Drops the lookup if it was the last one."""
    def __await__(self) -> Generator[Any, None, Found | Refused]: ...

class _Guard(Protocol):
    def end(self, code: int, reason: str, cause: str) -> object: ...

@final
class Watch:
    """A connection that is guarded until this is released or freed."""

    def release(self) -> None: ...

@final
class Core:
    """One configured engine. Its pool opens at first use, and anew in a forked child."""

    def __new__(
        cls,
        settings: Mapping[str, object],
        user_fields: Sequence[tuple[str, Sequence[str]]],
        session_fields: Sequence[tuple[str, Sequence[str]]],
    ) -> Core:
        """Checks every setting. The fields are those of the application's models, with their aliases.

        Raises:
            ConfigurationError: the first setting that is missing or wrong.
        """
    @property
    def cookie_name(self) -> str: ...
    @property
    def cache_cookie_name(self) -> str: ...
    @property
    def origin(self) -> str:
        """The origin of the base URL; empty without one."""
    @property
    def retry_after_seconds(self) -> int: ...
    @property
    def secret_fingerprint(self) -> str: ...
    @property
    def warnings(self) -> list[str]:
        """What an operator should know about the settings."""
    @staticmethod
    def reasons() -> list[_Reason]:
        """Every reason that a refusal can have, in the order in which they are checked."""
    def identify(self, scope: MutableMapping[str, Any]) -> RequestState | Any:
        """Identifies a request once. Returns its `Identity` if that is known, else its state, which the scope keeps."""
    def identify_by_store(self, scope: MutableMapping[str, Any]) -> RequestState:
        """Queries the store in any case; the scope keeps this state in place of the previous one."""
    def identify_anew(self, scope: Mapping[str, Any]) -> RequestState | Any:
        """The same as `identify`, without what the scope keeps."""
    def identify_value(self, cookie_value: str) -> RequestState | Any:
        """The same for a signed cookie value, percent-encoded or not."""
    def identify_to_guard(self, scope: MutableMapping[str, Any]) -> RequestState:
        """The same as `identify`, but always the state."""
    def identify_again(self, scope: MutableMapping[str, Any]) -> RequestState:
        """The same as `identify_to_guard`, ignoring the state that the scope has."""
    def watch(self, scope: Mapping[str, Any], state: RequestState, guard: _Guard) -> Watch:
        """Calls `guard.end` once, on the running loop's thread, when the session of this state ends.

        The guard is held weakly. It is called with a close code, a close reason, and the cause for the log.
        """
    def disconnect(self, *, user_id: str | None = None, session_id: str | None = None) -> int:
        """Ends the guarded connections of a user or a session, and returns how many.

        Raises:
            TypeError: neither is given, or both are.
        """
    @property
    def guarded_connections(self) -> int: ...
    def look_up(self, state: RequestState) -> None:
        """Queries the store in place of the cache that found the identity of this state."""
    def session_cookie(self, scope: Mapping[str, Any]) -> str | None:
        """The session cookie as it stands in the headers; None if a bearer token decides instead."""
    def missing_cookie(self, scope: Mapping[str, Any]) -> Refused | None:
        """Why there is no session cookie, if a wrong setting or client may be the cause."""
    def token_claims(self, scope: Mapping[str, Any]) -> dict[str, Any] | None:
        """The claims of the verified JWT that this request presents."""
    @property
    def has_database(self) -> bool: ...
    @property
    def trusts_claims(self) -> bool:
        """Whether the claims of a JWT are its user."""
    @property
    def accepts(self) -> tuple[bool, bool]:
        """Whether cookies are accepted, and whether bearer tokens are."""
    def open(self, strict: bool) -> Awaitable[list[str]]:
        """Connects and reads the catalog. Returns what an operator should know about it.

        With `strict`, a `jwks` table that does not exist yet is an error too.

        Raises:
            StoreUnavailable: PostgreSQL does not respond.
            MissingTables: the tables do not exist yet.
            SchemaError: the tables cannot be read.
        """
    def close(self) -> None:
        """Closes the connections. The next use opens them again."""
    def column_name(self, is_user: bool, field: str) -> str | None:
        """The column of a field of the `user` or the `session` table, with the table's name, once they were found."""
    def operator_messages(self) -> list[str]:
        """Messages for an operator that came up since the last call."""
    def store_note(self) -> str | None:
        """How lookups are sent, and why: once it is known, and again when it changes."""
    def counters(self) -> dict[str, int]:
        """How many requests ended in which way."""
    def advice(self, refused: Refused) -> tuple[str, bool] | None:
        """What an operator can do about a refusal, if a wrong setting may have caused it.

        Also returns whether the failed check has succeeded before: then the credential is probably stale or forged.
        """
    def cache_size(self) -> tuple[int, int]:
        """The number of sessions in the live cache, and the bytes that they take."""

@final
class Migrations:
    """The migrations of one database. The only part that writes."""

    def __new__(
        cls,
        database_url: str | None,
        schema: str | None,
        user_table: str | None = None,
        session_table: str | None = None,
        user_columns: Mapping[str, str] | None = None,
        session_columns: Mapping[str, str] | None = None,
    ) -> Migrations:
        """Opens nothing. Without a schema it is the URL's, else the first of the search path.

        The tables and columns are the settings by which `live` finds the tables.

        Raises:
            ConfigurationError: the URL is missing or wrong.
        """
    def applied(self) -> Awaitable[dict[str, datetime] | None]:
        """Which are recorded, and since when; None where our role may not read the record. Writes nothing.

        Raises:
            StoreUnavailable: PostgreSQL does not respond.
            SchemaError: it refuses.
        """
    def apply(self, name: str, sql: str) -> Awaitable[list[list[str | None]] | None]:
        """Runs the SQL and records the name, in one transaction; None when it was recorded before.

        Returns the rows that the SQL selects.

        Raises:
            StoreUnavailable: PostgreSQL does not respond.
            SchemaError: it refuses. Either way nothing is changed.
        """
    def apply_live(self, ignoring: Sequence[str] = ...) -> Awaitable[bool]:
        """Creates the triggers that notify of changes; False if they are already recorded and in force.

        Updates that change only the columns in `ignoring` are not notified. Each text is a list of columns such as
        `session.lastActivityAt,session.updatedAt`; names with a comma must be in double quotes. Columns that were
        ignored before and are not listed are notified again.

        Raises:
            StoreUnavailable: PostgreSQL does not respond.
            SchemaError: it refuses, or no trigger can serve the tables.
            ConfigurationError: a column does not exist, or must not be ignored. Either way nothing is changed.
        """
    def take_back_live(self) -> Awaitable[bool]:
        """Removes the triggers and the record; False if there was no record. Raises the same errors as `apply_live`."""
    def has_tables(self) -> Awaitable[bool]:
        """Whether Better Auth's tables exist in the schema in which `apply` would create them, whoever created them.

        Raises:
            StoreUnavailable: PostgreSQL does not respond.
        """
    def live_state(self) -> Awaitable[tuple[str | None, str]]:
        """The reason why `live` is not in force, or None; and a text that changes whenever the state may have changed.

        Writes nothing.

        Raises:
            StoreUnavailable: PostgreSQL does not respond.
        """
    def ignored_columns(self) -> Awaitable[list[str]]:
        """The ignored columns, such as `session.lastActivityAt`. Writes nothing.

        Raises:
            StoreUnavailable: PostgreSQL does not respond.
        """
    def live_sql(self, ignoring: Sequence[str] = ...) -> Awaitable[tuple[str, bool]]:
        """What `apply_live` would run, and whether the triggers are already in force in this form.

        Writes nothing; raises as `apply_live`.
        """
    def live_down_sql(self) -> Awaitable[str]:
        """What `take_back_live` would run. Writes nothing; raises as it."""

@final
class Diagnosis:
    """Examines settings, including wrong ones. Each setting at fault is replaced by a placeholder."""

    def __new__(cls, settings: Mapping[str, object]) -> Diagnosis:
        """Opens nothing."""
    @property
    def faults(self) -> list[tuple[str | None, str]]:
        """The settings that are missing or wrong, with the message of the error that a server raises."""
    @property
    def effective(self) -> dict[str, Any] | None:
        """The effective configuration, without any secret; None if no placeholder makes the settings usable.

        `cookie_name`, `cache_cookie_name`, `other_spelling`, `is_secure`, `base_origin`, `hosting_domain` (of a hosting
        service, where the base URL's host is a customer's name), `credentials`, `cache_uses_key_table`, `fingerprint`,
        `previous_fingerprints`, `freshness`, `listens`, `prepared_statements`, `schema`, `warnings`; `database` and
        `listen_database`: `address`, `role`, `sslmode`, `is_local`; `jwt`: `issuer`, `audience`, `leeway_seconds`,
        `freshness`, `jwks_url`.
        """
    def trusts(self, origin: str) -> bool:
        """Whether a page from this origin may send a user's cookie."""
    def cookies(self, text: str, other_secrets: Sequence[tuple[str, str]]) -> dict[str, Any] | None:
        """What a pasted `Cookie` header or value is. `other_secrets` have descriptions, and are tried too.

        `is_header`; `cookies`: `name`, `role`, `is_quoted` and `verdict`, which has a `code` and may have a `detail`.
        """
    @staticmethod
    def jwt(text: str) -> dict[str, Any]:
        """The unverified content of a JWT: `parts`, `header`, `claims`."""
    def presented(self, headers: Sequence[tuple[bytes, bytes]]) -> tuple[str, str | None] | None:
        """The kind of credential that decides for a request with these headers, and its text."""
    def server(self) -> Awaitable[dict[str, Any]]:
        """`version`, `role`, `is_superuser`, `bypasses_row_security`, `is_standby`, `clock_ahead_seconds`,
        `round_trip_seconds`, `tls`, `max_connections`, `statement_names`, `warnings`.

        Raises:
            ConfigurationError: the server refuses the role, its password or the database.
            StoreUnavailable: it does not respond.
        """
    def tables(self) -> Awaitable[dict[str, Any]]:
        """`session` and `user`: `name`, `owner`, `columns`, `has_row_security`, `may_write`; `reads_bans`, `others`,
        `warnings`.

        Raises:
            SchemaError: the tables cannot be read, and why.
        """
    def activity(self) -> Awaitable[dict[str, Any]]:
        """`sessions`, `live_sessions`, `users`, `newest_session`, `newest_user`. Reads both tables completely."""
    def feed(self) -> Awaitable[str | None]:
        """Sends one heartbeat with NOTIFY and waits for it. Returns why some changes would not be notified, or None.

        Raises:
            StoreUnavailable: the heartbeat did not come back.
        """
    def keys(self) -> Awaitable[dict[str, Any]]:
        """The keys that verify JWTs, read now: `keys` with `id`, `algorithms`, `valid_until`; `unusable`.

        Raises:
            AuthError: they cannot be read.
        """
    def close(self) -> None:
        """Closes the connections."""

@final
class TestStore:
    """Sessions in memory, and what a Better Auth server would sign. Only `auth_middleware.testing` makes one."""

    def __new__(cls, secret: str, seed: bytes) -> TestStore:
        """A store whose cookies are signed with this secret, and whose JWTs with the key of this seed of 32 bytes."""
    def core(
        self,
        settings: Mapping[str, object],
        user_fields: Sequence[tuple[str, Sequence[str]]],
        session_fields: Sequence[tuple[str, Sequence[str]]],
    ) -> Core:
        """A core that looks sessions up here. Its clock is this store's.

        Raises:
            ConfigurationError: the first setting that is missing or wrong.
        """
    def put(self, core: Core, session: Mapping[str, object] | None, user: Mapping[str, object]) -> None:
        """Inserts or replaces the rows. `core` knows which fields of the application's own they have."""
    def remove_session(self, token: str) -> None: ...
    def remove_user(self, user_id: str) -> None: ...
    def set_unavailable(self, is_unavailable: bool) -> None:
        """Begins or ends an outage, during which every lookup fails."""
    def advance(self, seconds: float) -> None:
        """Moves the clock forward."""
    def now(self) -> datetime: ...
    def lookups(self) -> int:
        """How many sessions and users were looked up."""
    def sign_token(self, token: str) -> str:
        """The decoded value of the session cookie, which is also the bearer plugin's token."""
    def sign_snapshot(self, strategy: str, payload: str, issuer: str, max_age: float) -> str:
        """The value of the cookie cache's cookie, signed or encrypted now."""
    def sign_jwt(self, claims: str) -> str: ...
    def jwks(self) -> str:
        """The JWKS document."""

def check_settings(
    settings: Mapping[str, object],
    user_fields: Sequence[tuple[str, Sequence[str]]],
    session_fields: Sequence[tuple[str, Sequence[str]]],
) -> None:
    """Checks settings and models without creating a core.

    Raises:
        ConfigurationError: the first setting that is missing or wrong.
    """

def default_settings() -> dict[str, Any]:
    """Every setting's default, by name. A setting without one is None or empty."""

def error_type(outcome: object) -> str | None:
    """Why a request has no user, in metrics and logs: a refusal's reason, or the kind of error."""

def metric_points() -> list[tuple[str, dict[str, str], int]]:
    """The name, attributes and value of each metric of this process, except for histograms."""

def lookup_durations() -> list[tuple[dict[str, str], list[int], float]]:
    """How long lookups took: the attributes, the count of each bucket, and the sum in seconds.

    There is one bucket more than there are bounds.
    """

def lookup_duration_bounds() -> list[float]:
    """The upper bounds of the buckets, in seconds."""

def accepted_credentials(settings: Mapping[str, object]) -> tuple[bool, bool]:
    """Whether these settings accept cookies, and whether they accept bearer tokens.

    Raises:
        ConfigurationError: `credentials` is wrong.
    """

def session_cookie_name(base_url: str | None, prefix: str | None, name: str | None, secure: bool | None) -> str:
    """The session cookie's name for these settings.

    Raises:
        ConfigurationError: they determine no name.
    """
