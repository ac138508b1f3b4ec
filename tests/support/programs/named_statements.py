"""python named_statements.py DSN SECRET COOKIE_VALUE: looks up three times, and prints what the server showed of it."""

import asyncio
import json
import logging
import sys

import psycopg

from auth_middleware import Auth, AuthSettings


async def main(dsn: str, secret: str, cookie_value: str) -> None:
    logging.basicConfig(level=logging.INFO)
    auth = Auth(AuthSettings(database_url=dsn, secret=secret, base_url="http://auth.test", pool_size=1))
    await auth.open()
    names: list[str] = []
    for _ in range(3):
        identity = await auth.validate_session(cookie_value)
        assert identity
        names.append(identity.user.name)
    query = "SELECT client_port FROM pg_stat_activity WHERE application_name = 'auth_middleware'"
    ports = psycopg.connect(dsn).execute(query).fetchall()
    sys.stdout.write(json.dumps({"name": names[-1], "ports": ports}))


asyncio.run(main(*sys.argv[1:]))
