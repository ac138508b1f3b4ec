"""The Rust core, as Python sees it: converts, calls, wraps; decides nothing."""

from collections.abc import Awaitable, Mapping, MutableMapping, Sequence
from datetime import datetime
from typing import Any, final

__all__ = [
    "Core",
    "Found",
    "Migrations",
    "Pending",
    "Refused",
    "SessionToken",
    "__version__",
    "session_cookie_name",
]

__version__: str

@final
class SessionToken:
    """A session token whose signature was good. Opaque."""

@final
class Refused:
    """Why a request is nobody's. For logs and counters, never for clients."""

    @property
    def reason(self) -> str:
        """One of `Core.reasons()`."""
    @property
    def detail(self) -> str | None:
        """What an operator needs to act on it; printable, bounded, never a credential."""
    @property
    def is_anonymous(self) -> bool:
        """Whether the request showed nothing at all."""

@final
class Found:
    """Somebody who is known: fields by name, in snake_case, made when they are asked for."""

    @property
    def user(self) -> dict[str, Any]: ...
    @property
    def session(self) -> dict[str, Any]: ...
    def cache_object(self, made: object) -> None:
        """Keep what was made of it: `inspect` gives that for the next request that finds the same answer kept."""

@final
class Pending:
    """A look-up under way, for as many waiters as there are."""

    def wait(self) -> Awaitable[Found | Refused]:
        """A future of its own for each waiter: cancelling one leaves the others.

        Raises:
            StoreUnavailable: the store did not answer in time.
            SchemaError: the tables cannot be read.
        """
    def give_up(self) -> bool:
        """Called by a waiter that was cancelled. True when nobody waits any more: it is not asked then."""

@final
class Core:
    """One configured authenticator. Its pool opens at first use, and anew in a forked child."""

    def __new__(
        cls,
        settings: Mapping[str, object],
        user_fields: Sequence[tuple[str, bool]],
        session_fields: Sequence[tuple[str, bool]],
    ) -> Core:
        """Checks every setting. The own fields come as names, and whether each has no default.

        Raises:
            ConfigurationError: the first that is wrong.
        """
    @property
    def cookie_name(self) -> str: ...
    @property
    def retry_after_seconds(self) -> int: ...
    @property
    def secret_fingerprint(self) -> str:
        """Tells two deployments' secrets apart; 12 hexadecimal digits that lead back to neither."""
    @property
    def cache(self) -> str | None:
        """The cache that may answer in the store's place: `cookie_cache` or `live_cache`."""
    @property
    def warnings(self) -> list[str]:
        """What an operator should know of the settings."""
    @staticmethod
    def reasons() -> list[str]:
        """Every reason that a refusal can have, in the order in which a request can meet them."""
    def inspect(self, scope: Mapping[str, Any]) -> SessionToken | Found | Refused | Any:
        """Decides from an ASGI scope's headers, and from what is kept, what can be decided from them.

        Where `Found.cache_object` was given something: just that.
        """
    def at_hand(self, scope: MutableMapping[str, Any], place: str) -> Any:
        """What `inspect` gives, if that was kept ready; else None.

        Whatever it gives lies then at this place of the scope, behind the headers and the method that it is about.
        Where something lies there, nothing is inspected.
        """
    def inspect_for_store(self, scope: Mapping[str, Any]) -> SessionToken | Refused:
        """The same, but believes no cache."""
    def inspect_value(self, cookie_value: str) -> SessionToken | Found | Refused | Any:
        """The same about a signed cookie value, percent-encoded or not."""
    def inspect_value_for_store(self, cookie_value: str) -> SessionToken | Refused:
        """The same, but believes no cache."""
    def session_cookie(self, scope: Mapping[str, Any]) -> str | None:
        """The session cookie as it stands in an ASGI scope's headers."""
    def look_up(self, token: SessionToken) -> Pending:
        """Asks the store, for the running event loop. Nothing is awaited yet."""
    def open(self) -> Awaitable[list[str]]:
        """Connects and reads the catalog; gives what an operator should know of it.

        Raises:
            StoreUnavailable: PostgreSQL does not answer.
            SchemaError: the tables cannot be read.
        """
    @property
    def object_cache_hits(self) -> int:
        """How often `inspect` gave what was kept ready."""
    def operator_messages(self) -> list[str]:
        """What an operator should hear of the feed of changes, each sentence once."""
    def cache_size(self) -> tuple[int, int]:
        """How many answers are kept in this process, and how many bytes they take in Rust."""
    def close(self) -> None:
        """Closes the connections. The next use opens them anew."""

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

        The other names are those that `live` finds the tables by, as the application does.

        Raises:
            ConfigurationError: the URL is missing or wrong.
        """
    def applied(self) -> Awaitable[dict[str, datetime] | None]:
        """Which are recorded, and since when; None where our role may not read the record. Writes nothing.

        Raises:
            StoreUnavailable: PostgreSQL does not answer.
            SchemaError: it refuses.
        """
    def apply(self, name: str, sql: str) -> Awaitable[list[list[str | None]] | None]:
        """Runs the SQL and records the name, in one transaction; None when it was recorded before.

        Gives the rows that the SQL selects.

        Raises:
            StoreUnavailable: PostgreSQL does not answer.
            SchemaError: it refuses. Either way nothing is changed.
        """
    def apply_live(self) -> Awaitable[bool]:
        """Makes the triggers that tell of changes; False when they are recorded and in force.

        Raises:
            StoreUnavailable: PostgreSQL does not answer.
            SchemaError: it refuses, or no trigger can serve the tables. Either way nothing is changed.
        """
    def take_back_live(self) -> Awaitable[bool]:
        """Takes triggers and record away; False when there was no record. Raises as `apply_live`."""
    def has_tables(self) -> Awaitable[bool]:
        """Whether Better Auth's tables are in the schema that new ones would be made in, whoever made them.

        Raises:
            StoreUnavailable: PostgreSQL does not answer.
        """
    def live_state(self) -> Awaitable[tuple[str | None, str]]:
        """What keeps `live` from being in force; and a text that changes when that may have been different in between.

        Writes nothing.

        Raises:
            StoreUnavailable: PostgreSQL does not answer.
        """
    def live_sql(self) -> Awaitable[str]:
        """What `apply_live` would run. Writes nothing; raises as it."""
    def live_down_sql(self) -> Awaitable[str]:
        """What `take_back_live` would run. Writes nothing; raises as it."""

def session_cookie_name(base_url: str | None, prefix: str | None, name: str | None, secure: bool | None) -> str:
    """The session cookie's name for these settings.

    Raises:
        ConfigurationError: they lead to none.
    """
