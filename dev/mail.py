"""A local SMTP server that keeps what it receives, for tests and for the demo in production shape.

with MailServer() as mail:
    start_service(SMTP_URL=mail.url)
    link = mail.wait_for("ada@example.com").link
"""

import re
import threading
import time
from collections.abc import Callable
from email import message_from_bytes, policy
from email.message import EmailMessage
from types import TracebackType
from typing import NamedTuple, Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from dev.processes import free_port


class Mail(NamedTuple):
    to: str
    sender: str
    subject: str
    text: str

    @property
    def link(self) -> str:
        """The first address in the text."""
        [link, *_] = re.findall(r"https?://\S+", self.text)
        return link

    @property
    def token(self) -> str:
        return self.link.partition("#token=")[2]


class MailServer:
    def __init__(self) -> None:
        self.port = free_port()
        self._arrived = threading.Condition()
        self._mails: list[Mail] = []
        # Called with each mail, in the server's thread.
        self.on_arrival: Callable[[Mail], object] | None = None

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)
        self._controller.start()

    def stop(self) -> None:
        """From now on connections are refused; what arrived stays."""
        self._controller.stop()

    def sent_to(self, address: str) -> list[Mail]:
        with self._arrived:
            return [mail for mail in self._mails if mail.to == address]

    def wait_for(self, address: str, count: int = 1, timeout_seconds: float = 20) -> Mail:
        """The `count`th mail to `address`. Raises TimeoutError when it does not arrive."""
        deadline = time.monotonic() + timeout_seconds
        with self._arrived:
            while len(mails := [mail for mail in self._mails if mail.to == address]) < count:
                if not self._arrived.wait(deadline - time.monotonic()):
                    raise TimeoutError(f"{len(mails)} of {count} mails to {address} arrived")
            return mails[count - 1]

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        """aiosmtpd calls it for each message."""
        content = envelope.content
        assert isinstance(content, bytes)
        message = message_from_bytes(content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        body = message.get_body(("plain",))
        text = body.get_content() if body else ""
        with self._arrived:
            for address in envelope.rcpt_tos:
                mail = Mail(address, str(message["From"]), str(message["Subject"]), text)
                self._mails.append(mail)
                if self.on_arrival:
                    self.on_arrival(mail)
            self._arrived.notify_all()
        return "250 kept"
