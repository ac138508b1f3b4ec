"""The formulas behind the tables of docs/growth.md, for many processes on one database.

The requests of each user arrive at random (a Poisson process). The load balancer sends each to a random one of `reach`
processes: to any process, or always to the same one if it routes by cookie.
"""

import math
from dataclasses import dataclass

BATCH = 64  # tokens in a statement, at most
WORKERS = 2  # concurrent statements of a process, at most
BEATS = 3  # heartbeats within `heartbeat_seconds`
HASHES, HASH_BYTES = 100, 66  # hashes in a notification, at most; each is `u`, 64 digits and a comma
BYTES_PER_SESSION = 1024  # of a cached session, an upper bound of the average
NEON_POOLER_CLIENTS = 10_000
NEON_RESERVED = 7  # connections of max_connections that Neon reserves

# max_connections by compute units, from Neon's documentation, "Connection pooling", January 2026.
NEON = {0.25: 104, 0.5: 209, 1: 419, 2: 839, 4: 1678, 8: 3357, 9: 4000}


@dataclass(frozen=True)
class Plan:
    """The assumptions. The first group describes a deployment, the second our settings, and the last was measured."""

    hosts: int = 10
    processes: int = 100
    users: int = 100_000  # concurrently active, with one session each
    requests_per_user: float = 0.1  # per second
    reach: int = 100  # processes that the requests of one user can reach
    changes_per_user: float = 2 / 86_400  # per second: one refresh and one sign-out per day
    round_trip_seconds: float = 0.0005  # to PostgreSQL, within one availability zone

    pool_size: int = 2
    max_age_seconds: float = 60
    heartbeat_seconds: float = 5
    max_cached_sessions: int = 100_000

    # Measured on two cores, including the loopback round trip and the client, so PostgreSQL itself takes less.
    single_seconds: float = 84e-6  # lookup of one token
    batched_seconds: float = 6.6e-6  # each of 64 tokens in one statement

    @property
    def requests(self) -> float:
        """Requests per second of all users."""
        return self.users * self.requests_per_user

    @property
    def pairs(self) -> float:
        """Pairs of a user and a process that the user can reach. Each pair needs lookups of its own."""
        return self.users * self.reach

    @property
    def requests_per_pair(self) -> float:
        """Requests per second of one user to one process."""
        return self.requests_per_user / self.reach

    @property
    def lifetime_seconds(self) -> float:
        """The average lifetime of a cache entry, which ends by age or by an earlier change."""
        if self.changes_per_user == 0:
            return self.max_age_seconds
        return -math.expm1(-self.changes_per_user * self.max_age_seconds) / self.changes_per_user

    @property
    def hit_ratio(self) -> float:
        """One lookup, then hits for a lifetime, then a wait for the next request: λL / (1 + λL)."""
        hits = self.requests_per_pair * self.lifetime_seconds
        return hits / (1 + hits)

    @property
    def lookups(self) -> float:
        """Lookups per second with warm caches."""
        return self.requests * (1 - self.hit_ratio)

    @property
    def most_lookups(self) -> float:
        """The upper bound of `lookups`, if every user kept reaching every process."""
        return self.pairs / self.max_age_seconds

    @property
    def cached(self) -> float:
        """Sessions in the cache of each process."""
        return min(self.pairs * self.hit_ratio / self.processes, self.max_cached_sessions)

    def batch(self, lookups: float) -> float:
        """Tokens per statement: the lookups that arrive while a worker's previous statement runs.

        A statement of n tokens takes a + bn. Both constants follow from the two measured times.
        """
        each = (BATCH * self.batched_seconds - self.single_seconds) / (BATCH - 1)
        start = self.single_seconds - each + self.round_trip_seconds
        arriving = lookups / self.processes / WORKERS
        room = 1 - arriving * each
        return max(1, min(BATCH, arriving * start / room)) if room > 0 else BATCH

    def statements(self, lookups: float) -> float:
        return lookups / self.batch(lookups)

    def busy(self, lookups: float) -> float:
        """The number of backends kept busy by lookups: an upper bound of the cores that PostgreSQL needs."""
        each = (BATCH * self.batched_seconds - self.single_seconds) / (BATCH - 1)
        return self.statements(lookups) * (self.single_seconds - each) + lookups * each

    @property
    def heartbeats(self) -> float:
        return self.processes * BEATS / self.heartbeat_seconds

    @property
    def changes(self) -> float:
        return self.users * self.changes_per_user

    @property
    def wakeups(self) -> float:
        """Wake-ups per second. Every commit that notifies wakes every listener of the database, on whatever channel."""
        return (self.changes + self.heartbeats) * self.processes

    @property
    def delivered(self) -> float:
        """Notifications delivered per second. Changes reach all processes, a heartbeat only its sender."""
        return self.changes * self.processes + self.heartbeats
