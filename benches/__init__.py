"""Benchmarks against the alternatives. `make bench` runs them and writes docs/benchmarks.md.

scenarios   what is measured: lookups, requests, statements, memory, start-up, growth, single steps
contenders  what is compared: each way to protect a route
report      turns the figures of a run into docs/benchmarks.md and its charts
model       arithmetic and a simulation for many processes: the tables of docs/growth.md
"""
