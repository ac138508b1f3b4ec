"""Run by `telemetry`: one contender. Measures once for each line on standard input, `LOAD SECONDS`, and prints the
requests per second, p50, p99 and the CPU time of each request.

    python -m benches.scenarios.telemetry_process CONTENDER cookies.txt
"""

import asyncio
import itertools
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from auth_middleware import Auth, AuthSettings, identification
from auth_middleware._core import RequestState


class Discarded(SpanExporter):
    """Leaves only what the SDK itself costs."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.SUCCESS if spans else SpanExportResult.FAILURE


def not_recorded(_state: RequestState, _found: object) -> None:
    """Takes the place of `record_lookup`."""


def configure(contender: str) -> None:
    if contender == "not_recorded":
        identification.record_lookup = not_recorded
    if contender in ("sdk_metrics", "sdk_traces"):
        metrics.set_meter_provider(MeterProvider([InMemoryMetricReader()]))
    if contender == "sdk_traces":
        tracing = TracerProvider()
        tracing.add_span_processor(BatchSpanProcessor(Discarded()))
        trace.set_tracer_provider(tracing)


async def measure(auth: Auth, cookie_values: Sequence[str], concurrent: int, seconds: float) -> Sequence[float]:
    times: list[float] = []
    remaining = itertools.cycle(cookie_values)
    end = time.perf_counter() + seconds

    async def worker() -> None:
        while (began := time.perf_counter()) < end:
            if await auth.validate_session(next(remaining)) is None:
                raise AssertionError("a signed-in user was refused")
            times.append(time.perf_counter() - began)

    cpu, began = time.process_time(), time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(concurrent)))
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    p99 = statistics.quantiles(times, n=100)[98]
    return [len(times) / took, statistics.median(times), p99, cpu / len(times)]


async def main(cookie_values: Sequence[str]) -> None:
    always, cached = Auth(), Auth(AuthSettings(freshness=3600))
    for line in iter(sys.stdin.readline, ""):
        load, seconds = line.split()
        if load == "hit":
            await cached.validate_session(cookie_values[0])
            figures = await measure(cached, cookie_values[:1], 1, float(seconds))
        else:
            figures = await measure(always, cookie_values, int(load), float(seconds))
        print(*figures, flush=True)


if __name__ == "__main__":
    configure(sys.argv[1])
    asyncio.run(main(Path(sys.argv[2]).read_text().splitlines()))
