"""How long each round takes, and the order in which contenders take turns."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple


class Lengths(NamedTuple):
    """The lengths of one run. The first round of each competition is a short warm-up and is not counted."""

    rounds: int
    lookup_seconds: float
    delayed_seconds: float
    http_seconds: int  # wrk takes whole seconds only
    users: int
    growth: Sequence[int]  # sessions in the table and in the cache

    @property
    def text(self) -> str:
        return (
            f"{self.users:,} signed-in users; {self.rounds} rounds of {self.lookup_seconds:g} s (lookups),"
            f" {self.delayed_seconds:g} s (with delay) and {self.http_seconds:g} s (HTTP) each, alternating"
        )


FULL = Lengths(
    rounds=5,
    lookup_seconds=1,
    delayed_seconds=0.6,
    http_seconds=2,
    users=10_000,
    growth=(1_000, 10_000, 100_000, 1_000_000),
)
QUICK = Lengths(
    rounds=2,
    lookup_seconds=0.3,
    delayed_seconds=0.3,
    http_seconds=1,
    users=500,
    growth=(1_000, 5_000),
)

WARM_UP = 1 / 3


class Turn(NamedTuple):
    contender: str
    seconds: float
    is_counted: bool


def turns(contenders: Sequence[str], rounds: int, seconds: float) -> Iterator[Turn]:
    """Reverses the order in every other round, so that each contender goes first as often as last."""
    for number in range(-1, rounds):
        for contender in contenders if number % 2 else contenders[::-1]:
            yield Turn(contender, seconds if number >= 0 else seconds * WARM_UP, number >= 0)
