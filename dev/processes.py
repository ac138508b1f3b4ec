"""Child processes that do not outlive their owner.

    with ChildProcess("auth", ["node", "server.mjs"], log=sys.stderr) as child:
        child.wait_for_url("http://127.0.0.1:9404/health")

Each child has its own process group, so that Ctrl-C reaches only the parent, which then stops the children in order.
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
    """A child exited or did not become ready in time. The message ends with its last output."""


class ChildProcess:
    """A running child process. Its output lines go to `log` as "[name] …". `user` needs root."""

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
        # WNOWAIT keeps the zombie, so that its process id and group id are not reused before `stop` reaps it.
        if self._process.returncode is not None:
            return True
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def last_output(self) -> str:
        return "\n".join(self._last_lines)

    def wait_for_url(self, url: str, timeout_seconds: float = 30) -> None:
        """Waits until `url` (plain http) responds with 2xx."""
        self.wait_until(lambda: _responds(url), timeout_seconds)

    def wait_until(self, is_ready: Callable[[], bool], timeout_seconds: float = 30) -> None:
        """Raises ProcessFailed if the child exits first or the timeout passes."""
        deadline = time.monotonic() + timeout_seconds
        # Checks the child first: if it exited because its port was in use, another program would respond on that port.
        while not self.has_exited():
            if is_ready() and not self.has_exited():
                return
            if time.monotonic() > deadline:
                raise ProcessFailed(self._report(f"was not ready after {timeout_seconds:g} s"))
            time.sleep(POLL_SECONDS)
        raise ProcessFailed(self._report("exited before it was ready"))

    def wait(self, timeout_seconds: float | None = None) -> int | None:
        """Waits for the child to exit. Returns the exit status, or None after the timeout."""
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        while not self.has_exited():
            if deadline is not None and time.monotonic() > deadline:
                return None
            time.sleep(POLL_SECONDS)
        self.stop()
        return self._process.returncode

    def stop(self, grace_seconds: float = 10) -> None:
        """Sends the stop signal, then kills what is left of the process group. May be called twice."""
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


_given_ports: set[int] = set()


def free_port() -> int:
    """A free TCP port below the ephemeral range, so that no outgoing connection can take it during a restart.

    Never the same twice in one process: the first caller may not have bound it yet.
    """
    while True:
        port = random.randrange(15_000, 32_000)
        if port not in _given_ports and is_free(port):
            _given_ports.add(port)
            return port


def is_free(port: int) -> bool:
    """Whether the port can be bound on 127.0.0.1, and nothing listens on it on ::1, which localhost also means."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    with socket.socket(socket.AF_INET6) as probe, suppress(OSError):
        return probe.connect_ex(("::1", port)) != 0
    return True


def _responds(url: str) -> bool:
    # http.client, because urllib would send requests for localhost through HTTP_PROXY.
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
    # Linux signals the child when the *thread* that created it ends, so this works only in the main thread. It covers
    # the one case that a context manager cannot: this process being killed with SIGKILL.
    if sys.platform != "linux" or threading.current_thread() is not threading.main_thread():
        return None
    set_parent_death_signal = 1
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def in_child() -> None:
        prctl(set_parent_death_signal, int(number))
        if os.getppid() != parent:  # the parent exited before prctl was called
            os._exit(1)

    return in_child
