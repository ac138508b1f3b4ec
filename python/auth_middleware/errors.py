"""What prevents us from identifying a request. A request without a valid session is not an error: it is None."""


class AuthError(Exception):
    """The root of everything this package raises."""


class ConfigurationError(AuthError):
    """A setting is missing or wrong. The message identifies it and says how to fix it; it never contains a secret."""


class NoAsyncioLoop(ConfigurationError):
    """The application runs on trio."""


class SchemaError(AuthError):
    """The tables are not what Better Auth writes, or our role may not read them."""


class MissingTables(SchemaError):
    """The tables do not exist yet. Better Auth's migration may be about to create them."""


class RowMisfit(SchemaError):
    """A value in the rows of one session cannot be read. Other sessions are not affected."""


class StoreUnavailable(AuthError):
    """The session store did not respond in time. Never treated as a request without a session."""


class KeyTableError(SchemaError):
    """The table with the keys that verify JWTs does not exist or is not Better Auth's. See `KeysUnavailable`."""


class KeysUnavailable(StoreUnavailable):
    """The keys that verify JWTs cannot be read. Requests with other credentials are not affected."""


class OriginRefused(AuthError):
    """A browser page from an origin that is not trusted sent the request with the user's cookie."""
