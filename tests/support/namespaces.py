"""Namespaces of Linux: one whose connections to us are translated, as Docker's and Kubernetes' often are, and one in
which host names have other addresses.
"""

import os
import secrets
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

# The ports that the translated connections come from; Linux itself takes 32768 to 60999.
FIRST_PORT, LAST_PORT = 61000, 61999


class Namespace:
    """`address` is ours, as programs inside reach us."""

    def __init__(self, name: str, address: str) -> None:
        self._name = name
        self.address = address

    def command(self, *command: str) -> list[str]:
        """What to run outside, so that `command` runs inside."""
        return ["ip", "netns", "exec", self._name, *command]


def can_make() -> bool:
    """Tried, since root in a container may be forbidden to."""
    if os.geteuid() != 0 or not (shutil.which("ip") and shutil.which("iptables")):
        return False
    try:
        with masquerading():
            return True
    except subprocess.CalledProcessError:
        return False


@contextmanager
def masquerading() -> Generator[Namespace]:
    """Programs inside see their own address and port; we see another port."""
    name = f"test-{secrets.token_hex(3)}"
    subnet = f"10.{secrets.randbelow(200) + 20}.{secrets.randbelow(256)}"
    outside, inside = f"v{name[5:]}o", f"v{name[5:]}i"
    namespace = Namespace(name, f"{subnet}.1")
    _run("ip", "netns", "add", name)
    try:
        _run("ip", "link", "add", outside, "type", "veth", "peer", "name", inside, "netns", name)
        _run("ip", "address", "add", f"{subnet}.1/24", "dev", outside)
        _run("ip", "link", "set", outside, "up")
        _run(*namespace.command("ip", "address", "add", f"{subnet}.2/24", "dev", inside))
        _run(*namespace.command("ip", "link", "set", inside, "up"))
        ports = f"{FIRST_PORT}-{LAST_PORT}"
        rule = ["-t", "nat", "-A", "POSTROUTING", "-p", "tcp", "-j", "MASQUERADE", "--to-ports", ports]
        _run(*namespace.command("iptables", *rule))
        yield namespace
    finally:
        _run("ip", "netns", "delete", name)  # the pair of devices goes with it


def with_hosts(hosts: Path, *command: str) -> list[str]:
    """What to run, so that `command` sees this file as /etc/hosts and every later change of it."""
    script = 'mount --bind "$1" /etc/hosts && shift && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", script, "sh", str(hosts), *command]


def can_mount() -> bool:
    """Tried, since root in a container may be forbidden to."""
    if os.geteuid() != 0 or not shutil.which("unshare"):
        return False
    done = subprocess.run(with_hosts(Path("/etc/hosts"), "true"), capture_output=True, check=False)
    return done.returncode == 0


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
