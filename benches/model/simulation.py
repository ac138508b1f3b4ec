"""Simulates many processes with caches, request by request. The same seed gives the same result.

Users do not affect each other in a cache that has room, so only one user in `one_in` is simulated and the counts are
scaled up. Lookups take no time in the simulation.
"""

import itertools
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from benches.model.fleet import Plan

SIGN_IN_BURST_SECONDS = 30
SIGN_IN_BURST = 0.5  # fraction of the users that signs in again during a burst

NEVER = float("-inf")


@dataclass
class Result:
    """Counts for each second."""

    requests: Counter[int] = field(default_factory=Counter[int])
    lookups: Counter[int] = field(default_factory=Counter[int])
    changes: Counter[int] = field(default_factory=Counter[int])
    scale: float = 1

    def per_second(self, counts: Mapping[int, int], start: int, end: int) -> float:
        return self.scale * sum(counts.get(second, 0) for second in range(start, end)) / (end - start)

    def hit_ratio(self, start: int, end: int) -> float:
        span = range(start, end)
        return 1 - sum(self.lookups[second] for second in span) / sum(self.requests[second] for second in span)

    def peak(self, start: int, end: int, width: int = 10) -> float:
        return max(self.per_second(self.lookups, at, at + width) for at in range(start, end, width))


def simulate(
    plan: Plan,
    seconds: int,
    *,
    one_in: int = 1,
    zipf: float = 0,
    purge: float | None = None,
    burst: float | None = None,
    seed: int = 1,
) -> Result:
    """Starts with empty caches. With `zipf`, the user of rank k sends requests in proportion to k**-zipf."""
    rng = random.Random(seed)
    users = plan.users // one_in
    weights = list(itertools.accumulate((rank + 1) ** -zipf for rank in range(users)))
    result = Result(scale=one_in)
    looked_up_at: dict[int, float] = {}
    changed_at = [NEVER] * users
    flushed_at, now = NEVER, 0.0
    requesting, changing = users * plan.requests_per_user, users * plan.changes_per_user
    signing_in = users * SIGN_IN_BURST / SIGN_IN_BURST_SECONDS
    while True:
        is_burst = burst is not None and burst <= now < burst + SIGN_IN_BURST_SECONDS
        rate = requesting + changing + (signing_in if is_burst else 0)
        now += rng.expovariate(rate)
        if now >= seconds:
            return result
        if purge is not None and flushed_at == NEVER and now >= purge:
            flushed_at = purge
        event = rng.random() * rate
        if event >= requesting:
            # A sign-in sends no notification, but its token is new to every cache, as after a change.
            changed_at[rng.randrange(users)] = now
            result.changes[int(now)] += event < requesting + changing
            continue
        user = rng.choices(range(users), cum_weights=weights)[0] if zipf else int(event / requesting * users)
        # One process for each user, or any process.
        pair = user * plan.reach + (rng.randrange(plan.reach) if plan.reach > 1 else 0)
        result.requests[int(now)] += 1
        looked_up = looked_up_at.get(pair, NEVER)
        if looked_up <= max(now - plan.max_age_seconds, changed_at[user], flushed_at):
            looked_up_at[pair] = now
            result.lookups[int(now)] += 1
