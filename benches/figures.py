"""What a run found, as it is kept below target/: the report is made of nothing else."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple, Self

from pydantic import BaseModel


class Round(NamedTuple):
    """One contender, asked for a while. Times in seconds."""

    per_second: float
    p50: float
    p99: float
    cpu: float  # of the contender's process, for each answer


Rounds = Sequence[Round]
Measure = Callable[[Round], float]
PER_SECOND: Measure = attrgetter("per_second")
P50: Measure = attrgetter("p50")
P99: Measure = attrgetter("p99")
CPU: Measure = attrgetter("cpu")


class Spread(NamedTuple):
    """The median of the rounds, and the least and greatest of them."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        return cls(statistics.median(values), min(values), max(values))

    @classmethod
    def of_rounds(cls, rounds: Rounds, measure: Measure) -> Self:
        return cls.of([measure(each) for each in rounds])

    @classmethod
    def of_ratios(cls, ours: Rounds, theirs: Rounds, measure: Measure) -> Self:
        """Round by round: what else the machine did met both."""
        return cls.of([measure(one) / measure(other) for one, other in zip(ours, theirs, strict=True)])


class Competition(BaseModel):
    """Contenders that took turns under one load."""

    load: int  # look-ups under way, or connections
    delay_ms: float = 0  # on the way to PostgreSQL and back
    rounds: Mapping[str, Rounds]


class Counted(BaseModel):
    """What PostgreSQL saw of one contender under one load."""

    contender: str
    load: int
    requests: int
    sessions: int
    statements: int
    lookups: int | None  # those that read sessions; None where statements cannot be told apart
    connections: int


class Step(BaseModel):
    """One of criterion's: nanoseconds, with the interval of 95 % confidence."""

    name: str
    median: float
    low: float
    high: float


class Kept(BaseModel):
    """What a cache with so many sessions takes."""

    bytes: int  # in Rust
    resident_bytes: int  # by how much the process grew


class Growth(BaseModel):
    """The same with ever more sessions: the contenders are their numbers."""

    sampled: int  # who asks, of those in the table
    lookups: Sequence[Competition]
    cached: Competition  # drawn from all that are kept
    cached_some: Competition  # drawn from so many of them as `some` says
    some: int
    kept: Mapping[str, Kept]
    filled_per_second: float


class Figures(BaseModel):
    """All of one run. A part that was not run is empty."""

    machine: Mapping[str, str] = {}
    lengths: str = ""
    lookups: Sequence[Competition] = ()
    delayed: Sequence[Competition] = ()
    round_trips_ms: Mapping[str, float] = {}
    forged: Competition | None = None
    requests: Sequence[Competition] = ()
    resident_mib: Mapping[str, float] = {}
    counted: Sequence[Counted] = ()
    bytes_per_session: Mapping[str, float] = {}
    bytes_ready: Mapping[str, float] = {}  # Python's objects, on top
    cold_starts: Mapping[str, Sequence[float]] = {}
    imports: Mapping[str, Sequence[float]] = {}
    wheel_bytes: int = 0
    installed_bytes: Mapping[str, int] = {}
    steps: Sequence[Step] = ()
    growth: Growth | None = None
