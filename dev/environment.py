"""The environment for child processes that are given settings of their own."""

import os

OUR_VARIABLES = ("DATABASE_URL", "FRONTEND_URL", "AUTH_", "BETTER_AUTH_", "SECRET", "SCHEMA")


def without_our_settings() -> dict[str, str]:
    """This process's environment without the variables that configure auth_middleware or Better Auth."""
    return {name: value for name, value in os.environ.items() if not name.startswith(OUR_VARIABLES)}
