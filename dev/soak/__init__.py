"""A soak test: everything runs at once, faults are injected, and every response is checked against a model.

    python -m dev.soak --seconds 3600 --report docs/soak.md

A real Better Auth server and one API for each mode of freshness share a PostgreSQL server behind one address. People
sign up, sign in and out, are banned and deleted; PostgreSQL is restarted, frozen and replaced by its standby; workers
are reloaded. `model` knows what each response may be, `people` act, `faults` break things, and `report` prints counts.
"""
