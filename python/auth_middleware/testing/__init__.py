"""For tests of applications: signed-in users without PostgreSQL, Node or environment variables.

`signed_in` is for tests of what a signed-in user gets, `AuthTestKit` for tests of sessions, tokens and outages.
Sessions are in memory; the production engine verifies them.
"""

from auth_middleware.testing.impersonation import signed_in
from auth_middleware.testing.kit import AuthTestKit
from auth_middleware.testing.login import Login
from auth_middleware.testing.rows import make_session, make_user

__all__ = ["AuthTestKit", "Login", "make_session", "make_user", "signed_in"]
