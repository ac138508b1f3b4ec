"""What each of the people shows: a header of a request, signed by a real Better Auth."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http.cookies import SimpleCookie

import httpx

from benches.stage import Stage
from tests.support.cookies import COOKIE_NAME

DATA_COOKIE_NAME = "better-auth.session_data"

# Header by name of the user.
Headers = Mapping[str, str]


def session_cookies(people: Mapping[str, str]) -> Headers:
    return {name: f"Cookie: {COOKIE_NAME}={cookie_value}" for cookie_value, name in people.items()}


async def with_session_data(stage: Stage) -> Headers:
    """The session's cookie and the snapshot that Better Auth's cookie cache puts beside it."""

    def read(header: str, response: httpx.Response) -> str:
        jar = SimpleCookie()
        for set_cookie in response.headers.get_list("set-cookie"):
            jar.load(set_cookie)
        return f"{header}; {DATA_COOKIE_NAME}={jar[DATA_COOKIE_NAME].coded_value}"

    return await _ask_for_all(f"{stage.issuers.url}/compact/api/auth/get-session", stage.people, read)


async def bearer_tokens(stage: Stage) -> Headers:
    """A JWT of the jwt plugin's, which is good for fifteen minutes."""

    def read(_header: str, response: httpx.Response) -> str:
        return f"Authorization: Bearer {response.json()['token']}"

    return await _ask_for_all(f"{stage.issuers.url}/jwks/api/auth/token", stage.people, read)


def forge(signed: str) -> str:
    """Another character in the signature that this ends with, be it base64 or a JWT's."""
    at = len(signed) - 8  # before an encoded `=`, and whole bits of it
    return f"{signed[:at]}{'A' if signed[at] != 'A' else 'B'}{signed[at + 1 :]}"


async def _ask_for_all(url: str, people: Mapping[str, str], read: Callable[[str, httpx.Response], str]) -> Headers:
    async with httpx.AsyncClient(trust_env=False) as client:

        async def ask(name: str, header: str) -> tuple[str, str]:
            response = await client.get(url, headers={"cookie": header.removeprefix("Cookie: ")})
            return name, read(header, response.raise_for_status())

        return dict(await _some_at_a_time([ask(*each) for each in session_cookies(people).items()]))


async def _some_at_a_time(questions: Sequence[Awaitable[tuple[str, str]]], number: int = 8) -> list[tuple[str, str]]:
    free = asyncio.Semaphore(number)

    async def ask(question: Awaitable[tuple[str, str]]) -> tuple[str, str]:
        async with free:
            return await question

    return await asyncio.gather(*map(ask, questions))
