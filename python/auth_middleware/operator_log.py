"""What operators see: the logger `auth_middleware`, never with a credential.

INFO is for the reason of each refusal, WARNING for what an operator has to act on.
"""

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable

from auth_middleware._core import Core, Refused
from auth_middleware.errors import AuthError, ConfigurationError, SchemaError
from auth_middleware.log_fields import LogFields

logger = logging.getLogger("auth_middleware")

# Requests choose the origin in a message: this many of those messages are written, the rest only counted.
MOST_ORIGINS = 5
MOST_MISFITS = 5
# Whatever requests contain, so many lines on probable causes are written at once, then one in 20 seconds.
MOST_CAUSES = 8
SECONDS_PER_CAUSE = 20.0
# The store can fail and recover with every request: this many changes in a row are warnings, then one in a minute.
MOST_STORE_CHANGES = 5
SECONDS_PER_STORE_CHANGE = 60.0


class RateLimit:
    """Allows `most` events at once, and one more after each `seconds`."""

    def __init__(self, most: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._seconds = seconds
        self._clock = clock
        self._left = float(most)
        self._last = clock()

    def allows(self) -> bool:
        """Whether one more event is allowed now. If so, it counts."""
        now = self._clock()
        self._left = min(self._left + (now - self._last) / self._seconds, self._most)
        self._last = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class OncePerCause:
    """Writes a message once, and no more than a few different messages on one topic; the rest are counted.

    That count is written when it reaches 100, 1,000, 10,000 and so on, so a flood of requests writes a few lines.
    A message over the rate limit is counted too, and written when it recurs within the limit.
    """

    def __init__(self, level: int = logging.WARNING, limit: RateLimit | None = None) -> None:
        self._level = level
        self._limit = limit
        self._written: defaultdict[str, set[str]] = defaultdict(set)
        self._left_out: Counter[str] = Counter()

    def log(
        self,
        topic: str,
        message: str,
        most: int = 1,
        fields: LogFields | None = None,
        level: int | None = None,
    ) -> None:
        """Write this message, unless that was done before or `most` messages on this topic were written."""
        level = level or self._level
        written = self._written[topic]
        if message in written:
            return
        if len(written) < most and self._is_allowed(level):
            written.add(message)
            logger.log(level, "%s", message, extra=fields)
            return
        self._left_out[topic] += 1
        count = self._left_out[topic]
        if count >= 100 and str(count).strip("0") == "1" and self._is_allowed(level):
            logger.log(level, "%s: %d more messages of this kind were not written", topic, count)

    def _is_allowed(self, level: int) -> bool:
        """Lines below the logger's level do not use up the limit."""
        return self._limit is None or not logger.isEnabledFor(level) or self._limit.allows()


class MisconfigurationLog:
    """Logs once that the settings of an instance are wrong, if a request is the first to find out."""

    def __init__(self) -> None:
        self._once = OncePerCause(logging.CRITICAL)

    def log(self, error: ConfigurationError) -> None:
        """Log the error, unless one was logged."""
        self._once.log("configuration", f"every request gets a 500 response: {error}")


class OperatorLog:
    """Logs how requests end."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._once = OncePerCause()
        self._causes = OncePerCause(limit=RateLimit(MOST_CAUSES, SECONDS_PER_CAUSE))
        self._store_trouble: type[AuthError] | None = None
        self._store_changes = RateLimit(MOST_STORE_CHANGES, SECONDS_PER_STORE_CHANGE)

    def warn(self, messages: Iterable[str]) -> None:
        """Log what Rust reports to operators."""
        for message in messages:
            logger.warning("%s", message)

    def note(self, message: str | None) -> None:
        """Log how something works at INFO; None if there is nothing new."""
        if message:
            logger.info("%s", message)

    def opening(self) -> None:
        """Write the secret's fingerprint, to compare it with another deployment's when signatures are bad."""
        logger.info("opening; the secret's fingerprint is %s", self._core.secret_fingerprint)

    def refused(self, refused: Refused, fields: LogFields) -> None:
        """A request has no valid session."""
        logger.info("refused: %s", refused.reason, extra=fields)
        self.probable_cause(refused, fields)

    def probable_cause(self, refused: Refused, fields: LogFields) -> None:
        """A probably wrong setting is logged as a warning, once for each cause.

        Once the check has succeeded, the settings are right, and the credential is probably stale or forged: then it is
        logged at INFO.
        """
        if refused.cause is None or (advice := self._core.advice(refused)) is None:
            return
        message, has_check_succeeded = advice
        level = logging.INFO if has_check_succeeded else logging.WARNING
        self._causes.log(refused.cause, message, MOST_ORIGINS if refused.is_foreign_origin else 1, fields, level)

    def lacks_session(self, fields: LogFields) -> None:
        """A route needs the session, and the request presents a JWT, which belongs to none."""
        logger.info("refused: get_current_session needs a session, and a JWT has none", extra=fields)

    def row_misfit(self, error: SchemaError, fields: LogFields) -> None:
        """A row cannot be read into the application's models. That concerns its own request only."""
        self._once.log("a row does not fit", f"a request got a 503 response: {error}", MOST_MISFITS, fields)

    def misconfigured(self, message: str, fields: LogFields) -> None:
        """A route needs something that the settings do not provide."""
        self._once.log("configuration", f"a request got a 500 response: {message}", fields=fields)

    def guard_ended(self, what: str, cause: str, fields: LogFields) -> None:
        """A guarded connection ends before its client leaves."""
        logger.info("%s: %s", what, cause, extra=fields)

    def validated_after_accept(self) -> None:
        """A WebSocket that should not have been accepted."""
        self._once.log(
            "accepted WebSockets",
            "a WebSocket was accepted and then refused, so the client saw it open and close: validate before accept, "
            "so that the handshake gets a 401, 403 or 503 response",
        )

    def store_failed(self, error: AuthError, fields: LogFields | None = None) -> None:
        """The store failed. Logs a warning once, until it responds again or the kind of error changes."""
        if type(error) is self._store_trouble:
            logger.info("no response from the store: %s", error, extra=fields)
            return
        self._store_trouble = type(error)
        logger.log(self._level_of_change(), "requests get 503 responses from now on: %s", error, extra=fields)

    def guard_unchecked(self, error: AuthError, fields: LogFields) -> None:
        """A guarded connection ends because the store did not respond. Requests may have shown that before."""
        if self._store_trouble is None:
            self.store_failed(error, fields)

    def keys_unavailable(self, error: AuthError, fields: LogFields) -> None:
        """A JWT cannot be verified. Rust warns of it once, and when the keys can be read again."""
        logger.info("a request got a 503 response: %s", error, extra=fields)

    def store_answered(self) -> None:
        """The store responded, perhaps after a failure."""
        if self._store_trouble is not None:
            self._store_trouble = None
            logger.log(self._level_of_change(), "the session store responds again")

    def _level_of_change(self) -> int:
        return logging.WARNING if self._store_changes.allows() else logging.INFO
