"""Bar charts as SVG. The same figures produce the same bytes."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import NamedTuple

from benches.figures import P50, PER_SECOND, Competition, Figures, Growth, Spread
from benches.report import growth
from benches.report.names import NAMES, OURS

WIDTH, LEFT, RIGHT = 860, 300, 110
BAR, GAP, HEAD, TITLE = 16, 6, 26, 36
OUR_COLOUR, THEIR_COLOUR, INK, PAPER = "#2563a8", "#9aa5b1", "#1f2933", "#ffffff"


class Bar(NamedTuple):
    """One bar. Ours are coloured."""

    label: str
    spread: Spread
    is_ours: bool


class Panel(NamedTuple):
    """Bars with a common scale."""

    title: str
    bars: Sequence[Bar]

    @property
    def height(self) -> int:
        return HEAD + len(self.bars) * (BAR + GAP) + GAP


def charts(figures: Figures) -> Mapping[str, str]:
    """The charts by file name."""
    found = {
        "lookups": chart("Lookups per second", panels(figures.lookups)),
        "requests": chart("Requests per second", panels(figures.requests)),
        "delayed": chart("Lookups per second, with network delay", panels(figures.delayed)),
    }
    if figures.growth:
        found["growth"] = chart("Median latency in µs, by number of sessions", growth_panels(figures.growth))
    return found


def growth_panels(figures: Growth) -> Sequence[Panel]:
    return [
        Panel(
            title,
            [Bar(size, microseconds(Spread.of_rounds(rounds, P50)), True) for size, rounds in each.rounds.items()],
        )
        for title, each in growth.competitions(figures).items()
    ]


def microseconds(spread: Spread) -> Spread:
    return Spread(*(seconds * 1e6 for seconds in spread))


def panels(competitions: Iterable[Competition]) -> Sequence[Panel]:
    return [
        Panel(
            f"{each.load} concurrent" + (f", {each.delay_ms:g} ms delay" if each.delay_ms else ""),
            [
                Bar(
                    NAMES[name],
                    Spread.of_rounds(rounds, PER_SECOND),
                    name in {*OURS, "ours", "ours_prepared"},
                )
                for name, rounds in each.rounds.items()
            ],
        )
        for each in competitions
    ]


def chart(title: str, panels: Sequence[Panel]) -> str:
    height = TITLE + sum(panel.height for panel in panels)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
        f' font-family="sans-serif" font-size="12" fill="{INK}">',
        f'<rect width="{WIDTH}" height="{height}" fill="{PAPER}"/>',
        f'<text x="12" y="24" font-size="16" font-weight="bold">{escape(title)}</text>',
    ]
    top = TITLE
    for panel in panels:
        lines += drawn(panel, top)
        top += panel.height
    return "\n".join([*lines, "</svg>", ""])


def drawn(panel: Panel, top: int) -> Iterable[str]:
    """Draws each bar as long as its median, with a line from the lowest to the highest round."""
    scale = (WIDTH - LEFT - RIGHT) / max(bar.spread.high for bar in panel.bars)
    yield f'<text x="12" y="{top + 17}" font-weight="bold">{escape(panel.title)}</text>'
    for number, bar in enumerate(panel.bars):
        y = top + HEAD + number * (BAR + GAP)
        middle = y + BAR / 2
        low, median, high = (value * scale for value in (bar.spread.low, bar.spread.median, bar.spread.high))
        colour = OUR_COLOUR if bar.is_ours else THEIR_COLOUR
        yield f'<text x="{LEFT - 8}" y="{middle + 4}" text-anchor="end">{escape(bar.label)}</text>'
        yield f'<rect x="{LEFT}" y="{y}" width="{median:.1f}" height="{BAR}" fill="{colour}"/>'
        yield f'<path d="M{LEFT + low:.1f} {middle}H{LEFT + high:.1f}" stroke="{INK}" stroke-width="2"/>'
        yield f'<text x="{LEFT + max(median, high) + 6:.1f}" y="{middle + 4}">{bar.spread.median:,.0f}</text>'
