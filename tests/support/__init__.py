"""What the suites share: databases, cookies, servers and applications made for tests."""
