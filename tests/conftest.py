"""What every suite stands on; the environment first, before anything imports auth_middleware."""

pytest_plugins = [
    "tests.support.environment",
    "tests.support.groups",
    "tests.support.databases",
    "tests.support.instances",
    "tests.support.live",
]
