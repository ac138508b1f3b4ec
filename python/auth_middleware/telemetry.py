"""What happened, for operators: the logger `auth_middleware` and counters. Never a credential.

INFO tells each refusal's reason; WARNING is for what an operator must act on.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping

from auth_middleware._core import Core, Refused
from auth_middleware.errors import AuthError

logger = logging.getLogger("auth_middleware")

# So many bad signatures without a good one are no forger: the secret is wrong.
SUSPICIOUS_BAD_SIGNATURES = 20


class Telemetry:
    """Counts and logs the ends that requests meet."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._cache = core.cache
        self._counters = Counter(
            dict.fromkeys((*Core.reasons(), "identified", "cookie_cache", "live_cache", "store_unavailable"), 0)
        )
        self._saw_good_signature = False
        self._told_cookie_name = False
        self._told_host_name = False
        self._store_trouble: type[AuthError] | None = None

    @property
    def counters(self) -> Mapping[str, int]:
        """How often each end was met until now."""
        counters = dict(self._counters)
        if self._cache:
            # What was ready never came by here.
            ready = self._core.object_cache_hits
            counters[self._cache] += ready
            counters["identified"] += ready
        return counters

    def warn(self, messages: Iterable[str]) -> None:
        """Tell what an operator should know."""
        for message in messages:
            logger.warning("%s", message)

    def note(self, message: str) -> None:
        """Log what is as it should be, for somebody who wonders."""
        logger.info("%s", message)

    def opening(self, secret_fingerprint: str) -> None:
        """Somebody compares this line with another deployment's when signatures are bad."""
        logger.info("opening; the secret's fingerprint is %s", secret_fingerprint)

    def cache_answered(self) -> None:
        """A request has a user, and no look-up was needed."""
        self._saw_good_signature = True
        self._counters[self._cache or ""] += 1
        self._counters["identified"] += 1

    def identified(self) -> None:
        """A request has a user."""
        self._counters["identified"] += 1

    def signature_was_good(self) -> None:
        """At least one cookie was signed with our secret."""
        self._saw_good_signature = True

    def refused(self, refusal: Refused) -> None:
        """A request is nobody's."""
        self._counters[refusal.reason] += 1
        logger.info("refused: %s", refusal.reason)
        if refusal.reason == "origin":
            logger.warning(
                "refused a request from origin %s: if that is your own page, add it to trusted_origins "
                "(BETTER_AUTH_TRUSTED_ORIGINS)",
                refusal.detail,
            )
        elif refusal.reason == "wrong_cookie_name":
            self._tell_cookie_name(refusal)
        elif refusal.reason == "no_cookie" and refusal.detail:
            self._tell_host_name(refusal.detail)
        elif refusal.reason == "bad_signature":
            self._suspect_secret()

    def store_failed(self, error: AuthError) -> None:
        """The store cannot say. Told once, until it answers again or the trouble changes."""
        self._counters["store_unavailable"] += 1
        if type(error) is self._store_trouble:
            logger.info("no answer: %s", error)
            return
        self._store_trouble = type(error)
        logger.warning("requests are answered 503 from now on: %s", error)

    def store_answered(self) -> None:
        """The store said something."""
        if self._store_trouble is not None:
            self._store_trouble = None
            logger.warning("the session store answers again")

    def _tell_cookie_name(self, refusal: Refused) -> None:
        if self._told_cookie_name:
            return
        self._told_cookie_name = True
        logger.warning(
            "a request carries the cookie %s, but the settings lead to its other spelling: set BETTER_AUTH_URL to "
            "the URL that the Better Auth server itself uses (https means __Secure-), or "
            "AUTH_MIDDLEWARE_SECURE_COOKIES",
            refusal.detail,
        )

    def _tell_host_name(self, names: str) -> None:
        if self._told_host_name:
            return
        self._told_host_name = True
        logger.warning(
            "a request without our cookie used the name %s: cookies belong to a host, not to a port, so browsers send "
            "the one that BETTER_AUTH_URL's host set to no other name. Use one name for the page, this API and Better "
            "Auth",
            names,
        )

    def _suspect_secret(self) -> None:
        if self._saw_good_signature or self._counters["bad_signature"] != SUSPICIOUS_BAD_SIGNATURES:
            return
        logger.warning(
            "each of the first %d signatures was bad: BETTER_AUTH_SECRET is probably not that of the Better "
            "Auth server",
            SUSPICIOUS_BAD_SIGNATURES,
        )
