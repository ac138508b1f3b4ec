"""python outcomes.py DSN SECRET COOKIE_VALUE [FRESHNESS]: looks up again and again, and prints each outcome."""

import asyncio
import sys

from auth_middleware import Auth, AuthError, AuthSettings


async def main(dsn: str, secret: str, cookie_value: str, freshness: str = "always") -> None:
    settings = AuthSettings(
        database_url=dsn, secret=secret, base_url="http://auth.test", freshness=freshness, lookup_timeout_seconds=2
    )
    auth = Auth(settings)
    while True:
        try:
            outcome = "identified" if await auth.validate_session(cookie_value) else "nobody"
        except AuthError:
            outcome = "unavailable"
        print(outcome, flush=True)  # noqa: T201 - this is what the program is for
        await asyncio.sleep(0.05)


asyncio.run(main(*sys.argv[1:]))
