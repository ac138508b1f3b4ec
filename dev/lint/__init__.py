"""Checks that no linter off the shelf makes. Standard library only; each prints `file:line: what` and exits 1."""
