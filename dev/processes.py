"""Child processes that do not outlive their owner.

    with ChildProcess("auth", ["node", "server.mjs"], log=sys.stderr) as child:
        child.wait_for_url("http://127.0.0.1:9404/health")

A child leads a process group of its own, so the terminal's Ctrl-C reaches only us and we end the children in order.
"""

import ctypes
import http.client
import os
import pwd
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self, TextIO
from urllib.parse import urlsplit

POLL_SECONDS = 0.02
LAST_LINES = 40


class ProcessFailed(RuntimeError):
    """A child died, or did not become ready in time; the message ends with its last output."""


class ChildProcess:
    """A running child. `log` gets its lines as "[name] …"; `user` (root only) is who it runs as."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: str | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        log: TextIO | None = None,
    ) -> None:
        self.name = name
        self._stop_signal = stop_signal
        self._log = log
        self._last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self._process = subprocess.Popen(
            [str(part) for part in command],
            env=env,
            cwd=cwd,
            user=user,
            group=_group_of(user),
            extra_groups=[] if user else None,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            process_group=0,
            preexec_fn=_end_with_parent(stop_signal),  # noqa: PLW1509 - calls one C function and nothing else
        )
        assert self._process.stdout
        self._pump = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._pump.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def has_exited(self) -> bool:
        # WNOWAIT leaves the zombie: until `stop` reaps it, nobody else can get this process id or group id.
        if self._process.returncode is not None:
            return True
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def last_output(self) -> str:
        return "\n".join(self._last_lines)

    def wait_for_url(self, url: str, timeout_seconds: float = 30) -> None:
        """Until `url` (plain http) answers 2xx."""
        self.wait_until(lambda: _answers(url), timeout_seconds)

    def wait_until(self, is_ready: Callable[[], bool], timeout_seconds: float = 30) -> None:
        """Raises ProcessFailed when the child exits first or the time is up."""
        deadline = time.monotonic() + timeout_seconds
        # The child is looked at first: if it died because its port is taken, a stranger would answer there.
        while not self.has_exited():
            if is_ready() and not self.has_exited():
                return
            if time.monotonic() > deadline:
                raise ProcessFailed(self._report(f"was not ready after {timeout_seconds:g} s"))
            time.sleep(POLL_SECONDS)
        raise ProcessFailed(self._report("exited before it was ready"))

    def wait(self, timeout_seconds: float | None = None) -> int | None:
        """The exit status, or None when the time is up."""
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        while not self.has_exited():
            if deadline is not None and time.monotonic() > deadline:
                return None
            time.sleep(POLL_SECONDS)
        self.stop()
        return self._process.returncode

    def stop(self, grace_seconds: float = 10) -> None:
        """Asks politely, then kills whatever is left of the group. May be called twice."""
        if self._process.returncode is not None:
            return
        if not self.has_exited():
            self._signal_group(self._stop_signal)
            deadline = time.monotonic() + grace_seconds
            while not self.has_exited() and time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)
        self._signal_group(signal.SIGKILL)
        self._process.wait()
        self._pump.join(timeout=1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _signal_group(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def _report(self, what: str) -> str:
        if self.has_exited():
            self._pump.join(timeout=1)
        return f"{self.name} {what}; its last output:\n{self.last_output() or '(nothing)'}"

    def _read(self, stdout: IO[str]) -> None:
        with stdout:
            for line in stdout:
                self._last_lines.append(line.rstrip())
                if self._log:
                    print(f"[{self.name}] {line.rstrip()}", file=self._log, flush=True)


def free_port() -> int:
    """A free TCP port below the kernel's ephemeral range: no outgoing connection can take it during a restart."""
    while True:
        port = random.randrange(15_000, 32_000)
        if is_free(port):
            return port


def is_free(port: int) -> bool:
    """Can we have it on 127.0.0.1, and does nobody answer as localhost on IPv6?"""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    with socket.socket(socket.AF_INET6) as probe, suppress(OSError):
        return probe.connect_ex(("::1", port)) != 0
    return True


def _answers(url: str) -> bool:
    # http.client, because urllib would send a request for localhost to the machine's HTTP_PROXY.
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=2)
    try:
        connection.request("GET", parts.path or "/")
        return 200 <= connection.getresponse().status < 300
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _group_of(user: str | None) -> int | None:
    if user is None:
        return None
    return pwd.getpwnam(user).pw_gid


def _end_with_parent(number: signal.Signals) -> Callable[[], None] | None:
    # Linux ends the child when the *thread* that made it ends, so only the main thread, which lives as long as we
    # do, may ask for it. It covers what no context manager can: our own death by SIGKILL.
    if sys.platform != "linux" or threading.current_thread() is not threading.main_thread():
        return None
    set_parent_death_signal = 1
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def in_child() -> None:
        prctl(set_parent_death_signal, int(number))
        if os.getppid() != parent:  # it died before the request was made
            os._exit(1)

    return in_child
