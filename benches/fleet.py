"""The arithmetic of many processes on one database: what docs/growth.md's tables are worked out from.

A user's requests come at random (Poisson) and go to a random one of the `reach` processes that a load balancer may
send them to: all of them, or one where it goes by the cookie.
"""

import math
from dataclasses import dataclass

BATCH = 64  # tokens in a statement, at most
WORKERS = 2  # statements under way in a process, at most
BEATS = 3  # within `heartbeat_seconds`
HASHES, HASH_BYTES = 100, 66  # in a notification, at most: `u`, 64 digits, a comma
BYTES_KEPT = 1024  # a session in the cache, on average at most
POOLED = 10_000  # Neon's pooler: clients
RESERVED = 7  # Neon's own, of max_connections

# Neon's documentation, "Connection pooling", January 2026: compute units, max_connections of each.
NEON = {0.25: 104, 0.5: 209, 1: 419, 2: 839, 4: 1678, 8: 3357, 9: 4000}


@dataclass(frozen=True)
class Plan:
    """What is assumed. The defaults of the first group are ours to choose; the last group was measured elsewhere."""

    hosts: int = 10
    processes: int = 100
    users: int = 100_000  # active at one time, with one session each
    requests_per_user: float = 0.1  # a second
    reach: int = 100  # processes that one user's requests may meet
    changes_per_user: float = 2 / 86_400  # a second: a refresh and a sign-out a day
    round_trip_seconds: float = 0.0005  # to PostgreSQL and back, in one zone

    pool_size: int = 2
    max_age_seconds: float = 60
    heartbeat_seconds: float = 5
    max_cached_sessions: int = 100_000

    # On a machine of two cores, round trip by loopback and client included: PostgreSQL's own part is less.
    single_seconds: float = 84e-6  # a look-up of one token
    batched_seconds: float = 6.6e-6  # of each of 64 tokens in one statement

    @property
    def requests(self) -> float:
        """A second, together."""
        return self.users * self.requests_per_user

    @property
    def pairs(self) -> float:
        """Of a user and a process that may meet: each is looked up on its own."""
        return self.users * self.reach

    @property
    def met_each_second(self) -> float:
        """How often such a pair meets."""
        return self.requests_per_user / self.reach

    @property
    def lifetime_seconds(self) -> float:
        """Of an answer in the cache, on average: until its age, or until a change before that."""
        if self.changes_per_user == 0:
            return self.max_age_seconds
        return -math.expm1(-self.changes_per_user * self.max_age_seconds) / self.changes_per_user

    @property
    def hit_ratio(self) -> float:
        """A look-up, then hits for a lifetime, then a wait for the next request: λL / (1 + λL)."""
        hits = self.met_each_second * self.lifetime_seconds
        return hits / (1 + hits)

    @property
    def lookups(self) -> float:
        """A second, of caches that are warm."""
        return self.requests * (1 - self.hit_ratio)

    @property
    def most_lookups(self) -> float:
        """The same if everybody met every process all the time."""
        return self.pairs / self.max_age_seconds

    @property
    def kept(self) -> float:
        """Sessions in each cache."""
        return min(self.pairs * self.hit_ratio / self.processes, self.max_cached_sessions)

    def batch(self, lookups: float) -> float:
        """Tokens in a statement: what arrives in a process while a worker's statement is under way.

        A statement of n tokens takes a + bn, with both from the two figures that were measured.
        """
        each = (BATCH * self.batched_seconds - self.single_seconds) / (BATCH - 1)
        start = self.single_seconds - each + self.round_trip_seconds
        arriving = lookups / self.processes / WORKERS
        room = 1 - arriving * each
        return max(1, min(BATCH, arriving * start / room)) if room > 0 else BATCH

    def statements(self, lookups: float) -> float:
        return lookups / self.batch(lookups)

    def busy(self, lookups: float) -> float:
        """Backends that look-ups keep busy: at most so many of PostgreSQL's cores."""
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
        """Every commit that notifies wakes every listener of the database, whatever its channel."""
        return (self.changes + self.heartbeats) * self.processes

    @property
    def delivered(self) -> float:
        """Notifications that reach a process: all changes reach all, a heartbeat only its sender."""
        return self.changes * self.processes + self.heartbeats
