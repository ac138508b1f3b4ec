"""Prints the tables of docs/growth.md, in less than half a minute.

python -m benches.model            prints them
python -m benches.model --write    also writes them to docs/growth.md
"""

import argparse
import sys

from benches.model.tables import PAGE, filled, tables


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benches.model", description="Prints the tables of docs/growth.md.")
    parser.add_argument("--write", action="store_true", help="also write them to the page")
    options, computed = parser.parse_args(), tables()
    if options.write:
        PAGE.write_text(filled(PAGE.read_text(), computed))
    for name, text in computed.items():
        print(f"{name}\n\n{text}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
