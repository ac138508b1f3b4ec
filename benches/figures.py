"""The figures of one run, as saved below target/. The report is made from these alone."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple, Self

from pydantic import BaseModel


class Round(NamedTuple):
    """One round of one contender. Times in seconds."""

    per_second: float
    p50: float
    p99: float
    cpu: float  # CPU time of the contender's process for each request or lookup


Rounds = Sequence[Round]
Measure = Callable[[Round], float]
PER_SECOND: Measure = attrgetter("per_second")
P50: Measure = attrgetter("p50")
P99: Measure = attrgetter("p99")
CPU: Measure = attrgetter("cpu")


class Spread(NamedTuple):
    """The median, minimum and maximum of several rounds."""

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
        """Compares round by round, because other load on the machine affects neighbouring rounds alike."""
        return cls.of([measure(one) / measure(other) for one, other in zip(ours, theirs, strict=True)])


class Competition(BaseModel):
    """Contenders that took turns under one load."""

    load: int  # concurrent lookups, or connections
    delay_ms: float = 0  # added to the round trip to PostgreSQL
    rounds: Mapping[str, Rounds]


class Statements(BaseModel):
    """What PostgreSQL counted for one contender under one load."""

    contender: str
    load: int
    requests: int
    sessions: int
    statements: int
    lookups: int | None  # statements that read sessions; None where statements cannot be told apart
    connections: int


class Step(BaseModel):
    """One criterion benchmark: nanoseconds, with the 95 % confidence interval."""

    name: str
    median: float
    low: float
    high: float


class CacheSize(BaseModel):
    """The memory of a cache that holds a given number of sessions."""

    bytes: int  # as counted in Rust
    resident_bytes: int  # growth of the process


class Growth(BaseModel):
    """One measurement at growing sizes. The contenders are named after the number of sessions."""

    sampled: int  # sessions of each table that are looked up
    lookups: Sequence[Competition]
    cached: Competition  # drawn from all cached sessions
    cached_sample: Competition  # drawn from `sample` of the cached sessions
    sample: int
    cache_sizes: Mapping[str, CacheSize]
    filled_per_second: float


class TokenFigures(BaseModel):
    """The figures of the section about JWTs, which can be measured in a run of its own."""

    date: str
    commit: str
    lengths: str
    load_average: float  # of the last 5 minutes before the run: what else the machine did
    cpus: int
    requests: Sequence[Competition]
    steps: Mapping[str, Sequence[float]]  # nanoseconds, one for each round


class TelemetryFigures(BaseModel):
    """The figures of the section about telemetry, which can be measured in a run of its own."""

    date: str
    commit: str
    lengths: str
    lookups: Sequence[Competition]
    hits: Competition


class GuardFigures(BaseModel):
    """The figures about guarded sockets, which are measured in a run of their own. Times in seconds."""

    date: str
    machine: str
    open: int
    closed: int
    bytes_each: float  # of ours: beyond those of a socket that was only validated
    bytes_validated: float
    recheck_seconds: int
    cpu: float  # the share of one processor
    statements_per_recheck: float
    live_cpu: float
    live_statements_per_minute: float
    one_by_one: Sequence[float]
    purge: Sequence[float]


class Figures(BaseModel):
    """All figures of one run. A scenario that was not run is empty."""

    machine: Mapping[str, str] = {}
    lengths: str = ""
    lookups: Sequence[Competition] = ()
    delayed: Sequence[Competition] = ()
    round_trips_ms: Mapping[str, float] = {}
    forged: Competition | None = None
    requests: Sequence[Competition] = ()
    resident_mib: Mapping[str, float] = {}
    statements: Sequence[Statements] = ()
    bytes_per_session: Mapping[str, float] = {}
    bytes_of_objects: Mapping[str, float] = {}  # Python objects, in addition
    cold_starts: Mapping[str, Sequence[float]] = {}
    imports: Mapping[str, Sequence[float]] = {}
    wheel_bytes: int = 0
    installed_bytes: Mapping[str, int] = {}
    steps: Sequence[Step] = ()
    growth: Growth | None = None
