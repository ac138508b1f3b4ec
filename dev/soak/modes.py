"""The modes that run side by side, each as one API with two workers, and what each promises."""

from collections.abc import Mapping
from dataclasses import dataclass

from dev.soak.model import Kind, Promise

SECONDS = 3
COOKIE_CACHE_SECONDS = 5
HEARTBEAT_SECONDS = 2
JWT_SECONDS = 30
# Clocks have whole seconds in cookies and JWTs, and this machine may be busy.
TOLERANCE_SECONDS = 2.0
RECHECK_SECONDS = 2
OUTAGE_GRACE_SECONDS = 60
# How late the end of a guarded socket may be on a busy machine, beyond its promise.
SOCKET_TOLERANCE_SECONDS = 8.0


@dataclass(frozen=True)
class Mode:
    """One API's settings, and what it promises for each kind of credential."""

    name: str
    environment: Mapping[str, str]
    promises: Mapping[Kind, Promise]
    fresh: Mapping[Kind, Promise]

    def socket(self, kind: Kind) -> Promise:
        """What a guarded socket promises: it ends by a notification or by a check."""
        promised = self.promises[kind]
        slower = max(RECHECK_SECONDS, promised.seconds) + SOCKET_TOLERANCE_SECONDS
        return Promise(slower, promised.sees_user)


NOW = Promise(0.0)
_ALL = "cookie,bearer,jwt"
_ROW = {Kind.COOKIE: NOW, Kind.BEARER: NOW, Kind.JWT: NOW}


def _all(promise: Promise) -> Mapping[Kind, Promise]:
    return {Kind.COOKIE: promise, Kind.BEARER: promise, Kind.JWT: promise}


MODES = (
    Mode("always", {"AUTH_MIDDLEWARE_FRESHNESS": "always", "AUTH_MIDDLEWARE_JWT_FRESHNESS": "always"}, _ROW, _ROW),
    Mode(
        "live",
        {
            "AUTH_MIDDLEWARE_FRESHNESS": "live",
            "AUTH_MIDDLEWARE_JWT_FRESHNESS": "live",
            "AUTH_MIDDLEWARE_HEARTBEAT_SECONDS": str(HEARTBEAT_SECONDS),
        },
        _all(Promise(HEARTBEAT_SECONDS + TOLERANCE_SECONDS)),
        _ROW,
    ),
    Mode(
        "seconds",
        {"AUTH_MIDDLEWARE_FRESHNESS": str(SECONDS), "AUTH_MIDDLEWARE_JWT_FRESHNESS": "always"},
        {
            Kind.COOKIE: Promise(SECONDS + TOLERANCE_SECONDS),
            Kind.BEARER: Promise(SECONDS + TOLERANCE_SECONDS),
            Kind.JWT: NOW,
        },
        _ROW,
    ),
    Mode(
        "cookie_cache",
        {"AUTH_MIDDLEWARE_FRESHNESS": "cookie_cache", "AUTH_MIDDLEWARE_JWT_FRESHNESS": "claims"},
        {
            Kind.COOKIE: Promise(COOKIE_CACHE_SECONDS + TOLERANCE_SECONDS),
            Kind.BEARER: NOW,
            Kind.JWT: Promise(TOLERANCE_SECONDS, sees_user=False),
        },
        _ROW,
    ),
)
CREDENTIALS = {"AUTH_MIDDLEWARE_CREDENTIALS": _ALL, "AUTH_MIDDLEWARE_RECHECK_SECONDS": str(RECHECK_SECONDS)}
