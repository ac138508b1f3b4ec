"""Our own lint checks, with the standard library only. Each prints `file:line: message` and exits with status 1."""
