"""Headers of a curl command, as the browser's developer tools copy it."""

import shlex
from collections.abc import Iterator
from itertools import pairwise

_BEGINNINGS = ("curl ", "-b ", "-H ", "--cookie ", "--header ")


def headers(text: str) -> list[str]:
    """The header lines of a curl command or of a part of it; empty if the text is neither."""
    if not text.lstrip().startswith(_BEGINNINGS):
        return []
    try:
        words = shlex.split(text.rstrip(" \\\r\n").replace("\\\n", " ").replace("$'", "'"))
    except ValueError:
        return []
    return list(_lines(words))


def cookie(text: str) -> str | None:
    """The Cookie header among them."""
    return next((line for line in headers(text) if line.lower().startswith("cookie:")), None)


def _lines(words: list[str]) -> Iterator[str]:
    for option, value in pairwise(words):
        if option in ("-H", "--header"):
            yield value
        elif option in ("-b", "--cookie"):
            yield f"Cookie: {value}"
