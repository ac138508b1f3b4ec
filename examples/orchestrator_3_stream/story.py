"""One visitor's story, told with real requests: python story.py AUTH_URL API_URL PAGE_URL

Every status is checked; the first wrong one ends the story with exit status 1.
"""

import json
import os
import re
import secrets
import sys
from collections.abc import Mapping
from typing import NoReturn
from urllib.parse import urlsplit

import httpx
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

NAME = "Ada Lovelace"
HOSTILE_ORIGIN = "https://evil.example"
UPDATES = 2
LONGEST = 110  # characters of a body
COLOURS = {"bold": "1", "dim": "2", "green": "32", "yellow": "33", "cyan": "36"}
HAS_COLOURS = sys.stdout.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("NO_COLOR")


class UnexpectedAnswer(Exception):
    pass


class Story:
    def __init__(self, auth_url: str, api_url: str, page_url: str) -> None:
        self.auth_url = auth_url.rstrip("/")
        self.api_url = api_url.rstrip("/")
        self.page_url = page_url.rstrip("/")
        parts = urlsplit(page_url)
        self.origin = f"{parts.scheme}://{parts.netloc}"

    def tell(self) -> None:
        title("She opens the page")
        self.open_page("/signup")

        credentials = {"email": f"ada-{secrets.token_hex(6)}@example.com", "password": secrets.token_urlsafe(16)}
        cookie = self.sign_up(credentials)
        forged = f"{cookie.partition('=')[0]}={secrets.token_hex(16)}.{'A' * 43}%3D"

        title("She asks the Python API who she is")
        self.expect(200, "/api/me", cookie, contains=credentials["email"])
        title("… without the cookie")
        self.expect(401, "/api/me")
        title("… with a forged cookie")
        self.expect(401, "/api/me", forged)

        title("A page of another site may send the request, but cannot read the response")
        self.expect_unreadable("/api/me", cookie, HOSTILE_ORIGIN)

        title("A route for everyone recognises her")
        self.expect(200, "/get_orchestrator", cookie, contains=NAME)
        title("… and greets strangers too")
        self.expect(200, "/get_orchestrator", contains="stranger")

        title("A WebSocket that pushes the load of the machine")
        self.listen(cookie)
        title("… without the cookie")
        self.expect_refused_handshake(401)
        title("… with her cookie, but opened by a page of another site")
        self.expect_refused_handshake(403, cookie, HOSTILE_ORIGIN)

        title("She signs out")
        self.auth_request("/api/auth/sign-out", {}, cookie)
        title("The same cookie is no longer valid")
        self.expect(401, "/api/me", cookie)

    def open_page(self, path: str) -> None:
        url = self.page_url + path
        ask("GET", url)
        response = send("GET", url, {"Accept": "text/html"})
        if response.status_code != 200 or "<html" not in response.text:
            fail("200 and a page", f"{response.status_code} {response.text[:300]}")
        answer(f"200 a page of {len(response.content)} bytes")

    def sign_up(self, credentials: Mapping[str, str]) -> str:
        """Returns the session cookie as `name=value`, as the browser would send it back."""
        title(f"{NAME} signs up at the auth-service")
        response = self.auth_request("/api/auth/sign-up/email", {"name": NAME, **credentials})
        for header in response.headers.get_list("set-cookie"):
            cookie, _, attributes = header.partition(";")
            if cookie.partition("=")[0].endswith("session_token"):
                answer(f"Set-Cookie: {shortened(cookie)};{attributes}")
                return cookie
        raise UnexpectedAnswer("expected a session_token cookie, but none came")

    def auth_request(self, path: str, body: Mapping[str, str], cookie: str | None = None) -> httpx.Response:
        url = self.auth_url + path
        hidden = {key: "…" if key == "password" else value for key, value in body.items()}
        ask("POST", url, cookie, body=json.dumps(hidden, ensure_ascii=False))
        response = send("POST", url, headers(cookie, self.origin), body)
        check(200, response.status_code, response.text)
        return response

    def expect(self, status: int, path: str, cookie: str | None = None, contains: str = "") -> None:
        url = self.api_url + path
        ask("GET", url, cookie, self.origin)
        response = send("GET", url, headers(cookie, self.origin))
        check(status, response.status_code, response.text)
        if not is_readable(response, self.origin):
            fail(f"leave for {self.origin} to read it with credentials", str(dict(response.headers)))
        if contains not in response.text:
            fail(f"an answer with {contains!r}", response.text)

    def expect_unreadable(self, path: str, cookie: str, origin: str) -> None:
        """A browser sends such a GET, and hides the answer that does not allow the page's origin."""
        url = self.api_url + path
        ask("GET", url, cookie, origin)
        response = send("GET", url, headers(cookie, origin))
        if is_readable(response, origin) or response.headers.get("access-control-allow-origin"):
            fail(f"no leave for {origin}", str(dict(response.headers)))
        answer(f"{response.status_code} without Access-Control-Allow-Origin")

    def listen(self, cookie: str) -> None:
        ask("WS", self.socket_url, cookie, self.origin)
        try:
            with connect(self.socket_url, additional_headers=headers(cookie, self.origin), proxy=None) as socket:
                answer("101")
                for _ in range(UPDATES):
                    update = str(socket.recv(timeout=10))
                    answer(update)
                    if "load_average" not in update:
                        fail("the load average", update)
        except InvalidStatus as refusal:
            fail("101", f"{refusal.response.status_code} {text_of(refusal)}")

    def expect_refused_handshake(self, status: int, cookie: str | None = None, origin: str | None = None) -> None:
        ask("WS", self.socket_url, cookie, origin)
        try:
            with connect(self.socket_url, additional_headers=headers(cookie, origin), proxy=None):
                fail(str(status), "101: the socket was opened")
        except InvalidStatus as refusal:
            check(status, refusal.response.status_code, text_of(refusal))

    @property
    def socket_url(self) -> str:
        return "ws" + self.api_url.removeprefix("http") + "/ws"


def send(method: str, url: str, sent: Mapping[str, str], body: Mapping[str, str] | None = None) -> httpx.Response:
    # Not by a client: that would keep the cookie and send it where the story says there is none. No proxy either,
    # both services are on this machine.
    return httpx.request(method, url, headers=sent, json=body, timeout=30, trust_env=False)


def headers(cookie: str | None = None, origin: str | None = None) -> dict[str, str]:
    sent = {"Cookie": cookie, "Origin": origin}
    return {name: value for name, value in sent.items() if value}


def is_readable(response: httpx.Response, origin: str) -> bool:
    """Does the answer allow a page of that origin to read it, having sent cookies?"""
    allowed = response.headers.get("access-control-allow-origin")
    return allowed == origin and response.headers.get("access-control-allow-credentials") == "true"


def title(text: str) -> None:
    print(f"\n{colour(text, 'bold')}")


def ask(method: str, url: str, cookie: str | None = None, origin: str | None = None, body: str = "") -> None:
    sent = headers(shortened(cookie) if cookie else None, origin)
    lines = [f"  {colour(f'{method} {url}', 'cyan')} {body}".rstrip()]
    lines += [colour(f"{name}: {value}", "dim") for name, value in sent.items()]
    print(*lines, sep="\n    ")


def answer(text: str) -> None:
    """A status first, or what a socket pushed: a refusal, wanted as it is, stands out in another colour."""
    first, _, rest = text.partition(" ")
    if first.isdecimal():
        first = colour(first, "bold", "yellow" if first.startswith("4") else "green")
    print(f"  → {first} {rest}".rstrip(), flush=True)


def colour(text: str, *names: str) -> str:
    if not HAS_COLOURS:
        return text
    return f"\x1b[{';'.join(COLOURS[name] for name in names)}m{text}\x1b[0m"


def check(expected: int, status: int, body: str) -> None:
    came = re.sub(r'("token":"\w{6})\w+', r"\1…", f"{status} {body}".rstrip())
    if status != expected:
        fail(str(expected), came)
    answer(came if len(came) < LONGEST else came[:LONGEST] + "…")


def text_of(refusal: InvalidStatus) -> str:
    return (refusal.response.body or b"").decode(errors="replace")


def fail(expected: str, came: str) -> NoReturn:
    raise UnexpectedAnswer(f"expected {expected}, but came {came}")


def shortened(cookie: str) -> str:
    """The value signs its holder in, so it is never printed whole."""
    name, _, value = cookie.partition("=")
    return f"{name}={value[:6]}…"


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    try:
        Story(*sys.argv[1:]).tell()
    except (UnexpectedAnswer, httpx.HTTPError, OSError) as problem:
        sys.exit(f"\nThe story went wrong: {problem}")
    except KeyboardInterrupt:
        sys.exit(130)
    print(f"\n{colour('The story went as it should.', 'green')}")
