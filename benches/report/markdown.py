"""Formats tables and numbers as Markdown."""

from collections.abc import Iterable, Sequence

from benches.figures import Spread


def section(title: str, *parts: str) -> str:
    return "\n\n".join([f"## {title}", *filter(None, parts)]) + "\n"


def replace_section(page: str, title: str, text: str) -> str:
    """The page with this section in place of the one with its title. A new one comes last, before the machine's."""
    heading, machine = f"## {title}\n", "## Machine and commands\n"
    before, found, rest = page.partition(heading if heading in page else machine)
    after = machine + rest if found == machine else "## " + rest.partition("\n## ")[2]
    return f"{before}{text}\n{after}"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def ratio(spread: Spread | None) -> str:
    """Formats as `6.31 (6.02–6.55)`."""
    if spread is None:
        return "–"
    return f"{spread.median:.2f} ({spread.low:.2f}–{spread.high:.2f})"


def advantage(spread: Spread) -> str:
    """Formats a ratio of ours to theirs, and marks it where ours is slower."""
    return ratio(spread) if spread.median >= 1 else f"**{ratio(spread)}, slower**"


def count(spread: Spread) -> str:
    """Formats as `61,806 (60,120–62,500)`."""
    return f"{spread.median:,.0f} ({spread.low:,.0f}–{spread.high:,.0f})"


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.2f}" if seconds < 0.1 else f"{seconds * 1e3:,.0f}"


def microseconds(seconds: float) -> str:
    return f"{seconds * 1e6:,.1f}" if seconds < 1e-4 else f"{seconds * 1e6:,.0f}"


def mebibytes(size: float) -> str:
    return f"{size / 2**20:.1f}"
