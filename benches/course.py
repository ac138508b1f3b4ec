"""A fleet of processes with caches, request by request, in pure Python; the same seed, the same course.

Users do not meet in a cache that has room, so one in so many is simulated, and what they do is multiplied. Answers come
at once: a look-up that is under way is no different from one that is over.
"""

import itertools
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from benches.fleet import Plan

STORM_SECONDS = 30
STORMING = 0.5  # of the users sign in anew, in a storm

NEVER = float("-inf")


@dataclass
class Course:
    """What happened in each second."""

    requests: Counter[int] = field(default_factory=Counter[int])
    lookups: Counter[int] = field(default_factory=Counter[int])
    changes: Counter[int] = field(default_factory=Counter[int])
    scale: float = 1

    def per_second(self, what: Mapping[int, int], start: int, end: int) -> float:
        return self.scale * sum(what.get(second, 0) for second in range(start, end)) / (end - start)

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
    storm: float | None = None,
    seed: int = 1,
) -> Course:
    """From a start of all with empty caches. With `zipf`, the user of rank k asks in proportion to k**-zipf."""
    rng = random.Random(seed)
    users = plan.users // one_in
    weights = list(itertools.accumulate((rank + 1) ** -zipf for rank in range(users)))
    course = Course(scale=one_in)
    asked_at: dict[int, float] = {}
    changed_at = [NEVER] * users
    flushed_at, now = NEVER, 0.0
    asking, changing = users * plan.requests_per_user, users * plan.changes_per_user
    storming = users * STORMING / STORM_SECONDS
    while True:
        is_storm = storm is not None and storm <= now < storm + STORM_SECONDS
        rate = asking + changing + (storming if is_storm else 0)
        now += rng.expovariate(rate)
        if now >= seconds:
            return course
        if purge is not None and flushed_at == NEVER and now >= purge:
            flushed_at = purge
        what = rng.random() * rate
        if what >= asking:
            # A sign-in notifies nothing, but its token is new to every cache, as after a change.
            changed_at[rng.randrange(users)] = now
            course.changes[int(now)] += what < asking + changing
            continue
        user = rng.choices(range(users), cum_weights=weights)[0] if zipf else int(what / asking * users)
        # One process for each user, or any.
        pair = user * plan.reach + (rng.randrange(plan.reach) if plan.reach > 1 else 0)
        course.requests[int(now)] += 1
        asked = asked_at.get(pair, NEVER)
        if asked <= max(now - plan.max_age_seconds, changed_at[user], flushed_at):
            asked_at[pair] = now
            course.lookups[int(now)] += 1
