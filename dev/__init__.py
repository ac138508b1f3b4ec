"""Services for tests, benchmarks and the demo: child processes, PostgreSQL, Node and Better Auth. Not in the wheel."""
