"""make demo-production: the example behind Caddy, over HTTPS, with mail, and one visitor's story.

On a terminal everything stays up until Ctrl-C, and mails are printed; else the exit status is the story's.
"""

import re
import secrets
import signal
import sys
import threading
from contextlib import ExitStack, suppress
from typing import NoReturn

import httpx
from websockets.sync.client import connect

from dev import node, production, stack
from dev.mail import Mail, MailServer
from dev.postgres import EmbeddedPostgres
from dev.processes import ProcessFailed, is_free
from dev.production import Production

PORT = 8443
EMAIL = "ada@example.com"
PASSWORD = secrets.token_urlsafe(16)
HOSTILE = "https://evil.example"


class StoryFailed(Exception):
    pass


def main() -> int:
    on_terminal = sys.stdout.isatty()
    if production.caddy() is None:
        print("demo-production: caddy is missing: apt-get install caddy", file=sys.stderr)
        return 1
    if on_terminal and not is_free(PORT):
        print(f"demo-production: port {PORT} is in use: stop the program that listens there", file=sys.stderr)
        return 1
    # Like Ctrl-C, so that a plain `kill` and a closed terminal take everything down as well.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: sys.exit(128 + received))
    try:
        with ExitStack() as down:
            run(down, on_terminal=on_terminal)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except (StoryFailed, ProcessFailed, stack.MigrationFailed, httpx.HTTPError, OSError) as problem:
        print(f"demo-production: {problem}", file=sys.stderr)
        return 1
    return 0


def run(down: ExitStack, *, on_terminal: bool) -> None:
    say("starts PostgreSQL, a mail server, the auth service, the backend and Caddy; the first time it builds them")
    node.install(stack.AUTH_SERVICE)
    postgres = down.enter_context(EmbeddedPostgres())
    mail = down.enter_context(MailServer())
    dsn = postgres.create_database("production")
    at = down.enter_context(Production(dsn, mail.url, https_port=PORT if on_terminal else None))
    for line in at.migrated.splitlines():
        say(f"migrate: {line}")
    say(f"{at.page_url} serves the page, the auth service (/api/auth) and the backend (/api/me, /ws)")
    Story(at, mail).tell()
    print("\nEverything went as expected.")
    if not on_terminal:
        return
    mail.on_arrival = show
    say(f"open {at.page_url}; your browser warns until it trusts {at.authority}. Ctrl-C ends everything.")
    with suppress(KeyboardInterrupt):
        stay_up(at)


class Story:
    def __init__(self, at: Production, mail: MailServer) -> None:
        self.at = at
        self.mail = mail

    def tell(self) -> None:
        at = self.at
        title("Plain HTTP leads to HTTPS")
        redirect = self.request(301, "GET", f"{at.insecure_url}/login")
        result(f"Location: {redirect.headers['location']}")
        title("The page, and what it may load")
        page = self.request(200, "GET", f"{at.page_url}/login")
        for name in ("strict-transport-security", "content-security-policy"):
            result(f"{name}: {page.headers[name]}")

        title("She signs up, and has to confirm her address first")
        self.post(200, "/sign-up/email", {"name": "Ada Lovelace", "email": EMAIL, "password": PASSWORD})
        message = self.mail.wait_for(EMAIL)
        result(f"mail to {message.to}: {message.subject}: {shortened(message.link)}")
        self.post(403, "/sign-in/email", {"email": EMAIL, "password": PASSWORD})
        title("She follows the link, and signs in")
        self.request(200, "GET", f"{at.auth_url}/api/auth/verify-email?token={message.token}")
        signed_in = self.post(200, "/sign-in/email", {"email": EMAIL, "password": PASSWORD})
        cookie = self.session_cookie(signed_in)

        title("The Python backend knows who she is")
        me = self.request(200, "GET", f"{at.api_url}/api/me", cookie)
        if EMAIL not in me.text:
            raise StoryFailed(f"expected {EMAIL}, but got {me.text}")
        title("… and does not accept the cookie under its plain name")
        self.request(401, "GET", f"{at.api_url}/api/me", cookie.removeprefix("__Secure-"))
        title("The WebSocket opens for her page, and for no other")
        with connect(at.socket_url, ssl=at.ssl, additional_headers=headers(cookie, at.page_url), proxy=None) as socket:
            result(f"WS {at.socket_url}: 101, {socket.recv(timeout=10)}")
        self.refused_handshake(403, cookie, HOSTILE)

        title("She signs out, and the same cookie is worth nothing")
        self.post(200, "/sign-out", {}, cookie)
        self.request(401, "GET", f"{at.api_url}/api/me", cookie)
        self.refused_handshake(401, cookie, at.page_url)

    def request(self, status: int, method: str, url: str, cookie: str = "", body: object = None) -> httpx.Response:
        sent = headers(cookie, self.at.page_url if method == "POST" else "")
        response = self.at.request(method, url, headers=sent, body=body)
        name = f" with {cookie.partition('=')[0]}" if cookie else ""
        result(f"{method} {shortened(url)}{name}: {response.status_code}")
        if response.status_code != status:
            raise StoryFailed(f"expected {status}, but got {response.status_code} {response.text[:300]}")
        return response

    def post(self, status: int, path: str, body: object, cookie: str = "") -> httpx.Response:
        return self.request(status, "POST", f"{self.at.auth_url}/api/auth{path}", cookie, body)

    def session_cookie(self, response: httpx.Response) -> str:
        """`name=value`, as the browser sends it back."""
        for header in response.headers.get_list("set-cookie"):
            cookie, _, attributes = header.partition(";")
            if cookie.partition("=")[0] == "__Secure-better-auth.session_token":
                result(f"Set-Cookie: {cookie[:41]}…;{attributes}")
                return cookie
        raise StoryFailed("expected the cookie __Secure-better-auth.session_token, but it was not set")

    def refused_handshake(self, status: int, cookie: str, origin: str) -> None:
        got = self.at.handshake(headers(cookie, origin))
        result(f"WS {self.at.socket_url} from {origin}: {got}")
        if got != status:
            raise StoryFailed(f"expected {status}, but got {got}")


def stay_up(at: Production) -> NoReturn:
    children = (at.auth_service, at.backend, at.caddy)
    while True:
        for child in children:
            if child.has_exited():
                raise StoryFailed(f"{child.name} has ended; its last output:\n{child.last_output()}")
        threading.Event().wait(0.2)


def show(mail: Mail) -> None:
    say(f"mail to {mail.to}: {mail.subject}: {mail.link}")


def headers(cookie: str = "", origin: str = "") -> dict[str, str]:
    return {name: value for name, value in {"Cookie": cookie, "Origin": origin}.items() if value}


def shortened(url: str) -> str:
    """Without the token that signs somebody in."""
    return re.sub(r"token=.*", "token=…", url)


def title(text: str) -> None:
    print(f"\n{text}")


def result(text: str) -> None:
    print(f"  {text}", flush=True)


def say(text: str) -> None:
    print(f"demo-production: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
