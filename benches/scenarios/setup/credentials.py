"""The request header that each user sends, signed by a real Better Auth server."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http.cookies import SimpleCookie

import httpx

from benches.scenarios.setup.environment import Environment
from dev.cookies import COOKIE_NAME

DATA_COOKIE_NAME = "better-auth.session_data"

# Headers by user name.
Headers = Mapping[str, str]


def session_cookies(users: Mapping[str, str]) -> Headers:
    return {name: f"Cookie: {COOKIE_NAME}={cookie_value}" for cookie_value, name in users.items()}


async def with_session_data(env: Environment) -> Headers:
    """The session cookie together with the session_data cookie of Better Auth's cookie cache."""

    def read(header: str, response: httpx.Response) -> str:
        jar = SimpleCookie()
        for set_cookie in response.headers.get_list("set-cookie"):
            jar.load(set_cookie)
        return f"{header}; {DATA_COOKIE_NAME}={jar[DATA_COOKIE_NAME].coded_value}"

    return await _request_for_each(f"{env.strategies.url}/compact/api/auth/get-session", env.users, read)


async def bearer_tokens(env: Environment) -> Headers:
    """JWTs from the jwt plugin. Each is valid for fifteen minutes."""

    def read(_header: str, response: httpx.Response) -> str:
        return f"Authorization: Bearer {response.json()['token']}"

    return await _request_for_each(f"{env.strategies.url}/jwks/api/auth/token", env.users, read)


def forge(signed: str) -> str:
    """Changes one character of the signature at the end, in base64 as well as in a JWT."""
    at = len(signed) - 8  # before the encoded padding, where every bit counts
    return f"{signed[:at]}{'A' if signed[at] != 'A' else 'B'}{signed[at + 1 :]}"


async def _request_for_each(url: str, users: Mapping[str, str], read: Callable[[str, httpx.Response], str]) -> Headers:
    async with httpx.AsyncClient(trust_env=False) as client:

        async def request(name: str, header: str) -> tuple[str, str]:
            response = await client.get(url, headers={"cookie": header.removeprefix("Cookie: ")})
            return name, read(header, response.raise_for_status())

        return dict(await _limited([request(*each) for each in session_cookies(users).items()]))


async def _limited(requests: Sequence[Awaitable[tuple[str, str]]], concurrent: int = 8) -> list[tuple[str, str]]:
    semaphore = asyncio.Semaphore(concurrent)

    async def run(request: Awaitable[tuple[str, str]]) -> tuple[str, str]:
        async with semaphore:
            return await request

    return await asyncio.gather(*map(run, requests))
