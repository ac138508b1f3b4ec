"""Services for tests and for the demo: child processes, PostgreSQL, Node and Better Auth. Not part of the wheel."""
