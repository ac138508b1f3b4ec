"""Benchmarks: what it costs, beside what people would do otherwise. `make bench` writes what they find."""
