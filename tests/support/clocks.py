"""Debian's libfaketime, which moves the clock of one process."""

from pathlib import Path


def libfaketime() -> Path | None:
    """Where it is installed, which depends on the architecture."""
    return next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
