"""Turns the figures of a run into docs/benchmarks.md and its charts."""
