"""What a login in a test returns."""

from dataclasses import dataclass, field
from typing import Generic

from auth_middleware.models import SessionT_co, UserT_co


@dataclass(frozen=True)
class Login(Generic[SessionT_co, UserT_co]):
    """A session of a user, and the credentials for it. It does not change when the session ends."""

    session: SessionT_co
    user: UserT_co
    cookies: dict[str, str] = field(repr=False)
    """By name, as a browser sends them."""
    bearer: str = field(repr=False)
    """The bearer plugin's token: the session token with its signature."""
    jwt: str = field(repr=False)

    @property
    def token(self) -> str:
        """The bare session token, as it is in the database."""
        return self.session.token

    @property
    def headers(self) -> dict[str, str]:
        """The `cookie` header."""
        return {"cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}

    @property
    def bearer_headers(self) -> dict[str, str]:
        """The `authorization` header with the signed session token."""
        return {"authorization": f"Bearer {self.bearer}"}

    @property
    def jwt_headers(self) -> dict[str, str]:
        """The `authorization` header with a JWT of the user."""
        return {"authorization": f"Bearer {self.jwt}"}
