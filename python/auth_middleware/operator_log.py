"""What operators see: the logger `auth_middleware`, never with a credential.

INFO is for the reason of each refusal, WARNING for what an operator has to act on.
"""

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Iterable

from auth_middleware._core import Core, Refused
from auth_middleware.errors import AuthError, ConfigurationError, SchemaError

logger = logging.getLogger("auth_middleware")

# After this many bad signatures and no good one, the secret is wrong rather than the cookies.
SUSPICIOUS_BAD_SIGNATURES = 20
# Requests choose the origin in a message: this many of those messages are written, the rest only counted.
MOST_ORIGINS = 5
MOST_MISFITS = 5
# The store can fail and recover with every request: this many changes in a row are warnings, then one in a minute.
MOST_STORE_CHANGES = 5
SECONDS_PER_STORE_CHANGE = 60.0


class OncePerCause:
    """Writes a message once, and no more than a few different messages on one topic; the rest are counted.

    That count is written when it reaches 100, 1,000, 10,000 and so on, so a flood of requests writes a few lines.
    """

    def __init__(self, level: int = logging.WARNING) -> None:
        self._level = level
        self._written: defaultdict[str, set[str]] = defaultdict(set)
        self._left_out: Counter[str] = Counter()

    def log(self, topic: str, message: str, most: int = 1) -> None:
        """Write this message, unless that was done before or `most` messages on this topic were written."""
        written = self._written[topic]
        if message in written:
            return
        if len(written) < most:
            written.add(message)
            logger.log(self._level, "%s", message)
            return
        self._left_out[topic] += 1
        count = self._left_out[topic]
        if count >= 100 and str(count).strip("0") == "1":
            logger.log(self._level, "%s: %d more messages of this kind were not written", topic, count)


_misconfigured = OncePerCause(logging.CRITICAL)


def log_misconfigured(error: ConfigurationError) -> None:
    """The settings are wrong, which only requests have found out. Logged once."""
    _misconfigured.log("configuration", f"every request gets a 500 response: {error}")


class OperatorLog:
    """Logs how requests end."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._once = OncePerCause()
        self._store_trouble: type[AuthError] | None = None
        self._store_changes_left = float(MOST_STORE_CHANGES)
        self._last_store_change = 0.0

    def warn(self, messages: Iterable[str]) -> None:
        """Log what Rust reports to operators."""
        for message in messages:
            logger.warning("%s", message)

    def note(self, message: str | None) -> None:
        """Write how something works, for an operator who wants to know; None if there is nothing new."""
        if message:
            logger.info("%s", message)

    def opening(self) -> None:
        """Write the secret's fingerprint, to compare it with another deployment's when signatures are bad."""
        logger.info("opening; the secret's fingerprint is %s", self._core.secret_fingerprint)

    def refused(self, refused: Refused) -> None:
        """A request has no valid session."""
        logger.info("refused: %s", refused.reason)
        if advice := refused.advice:
            self._once.log(refused.reason, advice, MOST_ORIGINS if refused.is_foreign_origin else 1)
        elif refused.is_bad_signature and (self._core.only_bad_signatures() or 0) >= SUSPICIOUS_BAD_SIGNATURES:
            self._once.log(
                refused.reason,
                f"each of the first {SUSPICIOUS_BAD_SIGNATURES} signatures was bad: BETTER_AUTH_SECRET is probably not "
                "the secret of the Better Auth server",
            )

    def row_misfit(self, error: SchemaError) -> None:
        """A row cannot be read into the application's models. That concerns its own request only."""
        self._once.log("a row does not fit", f"a request got a 503 response: {error}", MOST_MISFITS)

    def misconfigured(self, message: str) -> None:
        """A route needs what the settings do not give."""
        self._once.log("configuration", f"a request was answered 500: {message}")

    def store_failed(self, error: AuthError) -> None:
        """The store failed. Logs a warning once, until it responds again or the kind of error changes."""
        if type(error) is self._store_trouble:
            logger.info("no response from the store: %s", error)
            return
        self._store_trouble = type(error)
        logger.log(self._level_of_change(), "requests get 503 responses from now on: %s", error)

    def store_answered(self) -> None:
        """The store responded, perhaps after a failure."""
        if self._store_trouble is not None:
            self._store_trouble = None
            logger.log(self._level_of_change(), "the session store responds again")

    def _level_of_change(self) -> int:
        now = time.monotonic()
        regained = (now - self._last_store_change) / SECONDS_PER_STORE_CHANGE
        self._last_store_change = now
        self._store_changes_left = min(self._store_changes_left + regained, MOST_STORE_CHANGES)
        if self._store_changes_left < 1:
            return logging.INFO
        self._store_changes_left -= 1
        return logging.WARNING
