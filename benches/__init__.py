"""Benchmarks: what it costs, beside what people would do otherwise. They print; they judge nothing."""
