"""The section about guarded sockets, in docs/sockets.md, and its chart."""

import re
import statistics
from collections.abc import Sequence
from pathlib import Path

from benches.figures import GuardFigures, Spread
from benches.report.charts import Bar, Panel, chart

SECTION = re.compile(r"<!-- measured -->\n.*?<!-- /measured -->\n", re.DOTALL)


def section(figures: GuardFigures) -> str:
    one, purge = (quantiles(each) for each in (figures.one_by_one, figures.purge))
    rows = [
        ("memory of ours for each socket, guard included", f"{figures.bytes_each:,.0f} bytes"),
        (f"idle, re-checked every {figures.recheck_seconds} s: processor", f"{figures.cpu:.2%}"),
        (
            "the same: statements for each re-check",
            f"{figures.statements_per_recheck:,.0f}, each for up to 64 of {figures.open:,} sockets",
        ),
        ("idle, `live`: processor", f"{figures.live_cpu:.2%}"),
        ("the same: statements in a minute, all of them heartbeats", f"{figures.live_statements_per_minute:,.0f}"),
        (
            f"`live`, {figures.closed:,} sockets, sessions deleted one after the other: commit to close frame",
            f"p50 {one[0]:,.1f} ms, p99 {one[1]:,.1f} ms",
        ),
        (
            f"`live`, {figures.closed:,} sessions deleted in one statement",
            f"p50 {purge[0]:,.0f} ms, p99 {purge[1]:,.0f} ms",
        ),
    ]
    lines = "\n".join(f"| {name} | {value} |" for name, value in rows)
    return (
        f"<!-- measured -->\nMeasured by `python -m benches.guards` on {figures.machine}, {figures.date}, with "
        f"{figures.open:,} open sockets in one process:\n\n| | |\n|---|---|\n{lines}\n\n"
        "![From the commit to the close frame](benchmarks/guards.svg)\n<!-- /measured -->\n"
    )


def quantiles(seconds: Sequence[float]) -> tuple[float, float]:
    """The median and the 99th percentile in milliseconds."""
    hundredths = statistics.quantiles(seconds, n=100)
    return hundredths[49] * 1e3, hundredths[98] * 1e3


def write(figures: GuardFigures, folder: Path) -> Path:
    page = folder / "sockets.md"
    page.write_text(SECTION.sub(lambda _old: section(figures), page.read_text()))
    panels = [
        Panel(title, [Bar(name, Spread(*[value] * 3), True) for name, value in bars.items()])
        for title, bars in (
            ("sessions deleted one after the other", labelled(figures.one_by_one)),
            ("sessions deleted in one statement", labelled(figures.purge)),
        )
    ]
    title = f"Milliseconds from the commit to the close frame, {figures.closed:,} sockets"
    (folder / "benchmarks" / "guards.svg").write_text(chart(title, panels))
    return page


def labelled(seconds: Sequence[float]) -> dict[str, float]:
    median, high = quantiles(seconds)
    return {"median": median, "99th percentile": high, "slowest": max(seconds) * 1e3}
