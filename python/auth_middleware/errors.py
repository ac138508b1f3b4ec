"""What keeps us from saying who sent a request. "Nobody" is not an error: it is None."""


class AuthError(Exception):
    """The root of everything this package raises."""


class ConfigurationError(AuthError):
    """A setting is missing or wrong. The message names it and the mend, never a secret."""


class SchemaError(AuthError):
    """The tables are not what Better Auth writes, or our role may not read them."""


class StoreUnavailable(AuthError):
    """The session store did not answer in time. Never taken for "nobody"."""


class OriginRefused(AuthError):
    """A browser page from an origin that is not ours sent the request with the user's cookie."""
