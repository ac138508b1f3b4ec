"""What the scenarios share: PostgreSQL and Better Auth, the contenders' servers, credentials, rounds, and wrk."""
