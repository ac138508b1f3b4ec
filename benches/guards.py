"""What guarded sockets cost. Needs no contenders, so it is a run of its own.

python -m benches.guards             measures, and replaces the section in docs/sockets.md; takes five minutes
python -m benches.guards --report    writes the section again from the figures of the last run
"""

import sys
from pathlib import Path

from benches.figures import GuardFigures
from benches.report import guards as report
from benches.scenarios import guards

FIGURES = Path("target", "bench", "guards.json")
DOCS = Path("docs")


def main() -> None:
    if "--report" not in sys.argv[1:]:
        FIGURES.parent.mkdir(parents=True, exist_ok=True)
        FIGURES.write_text(guards.measure().model_dump_json(indent=1))
    figures = GuardFigures.model_validate_json(FIGURES.read_text())
    print(report.section(figures))
    report.write(figures, DOCS)


if __name__ == "__main__":
    main()
