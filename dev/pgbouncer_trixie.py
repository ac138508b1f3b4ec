"""Debian 13's PgBouncer 1.24 with its libraries, in a folder of its own under target/: Debian 12 has 1.18.

command = pgbouncer_trixie.install()

1.21 was the first that tracks prepared statements (`max_prepared_statements`).
"""

import platform
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent
DIRECTORY = ROOT / "target" / "pgbouncer-trixie"
# Written when the folder holds all of it.
INSTALLED = DIRECTORY / "installed"
PACKAGES = (
    "pgbouncer",
    *("libc6", "libevent-2.1-7t64", "libcares2", "libssl3t64", "libpam0g", "libaudit1", "libcap-ng0"),
    *("libsystemd0", "libcap2", "libzstd1", "zlib1g"),
)
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# apt's own lists and cache stay as they are.
APT_CONFIGURATION = """
Dir::Etc::sourcelist "{0}/sources.list";
Dir::Etc::sourceparts "-";
Dir::State::lists "{0}/lists";
Dir::State::status "{0}/status";
Dir::Cache "{0}/cache";
APT::Sandbox::User "";
Acquire::Languages "none";
"""


def can_install() -> bool:
    """Whether apt finds the package in Debian 13. It reads only the list of packages for that."""
    if INSTALLED.exists():
        return True
    if not (KEYRING.exists() and shutil.which("apt-get") and shutil.which("dpkg-deb")):
        return False
    mirror = _mirror()
    if mirror is None:
        return False
    _configure(mirror)
    return _apt("update").returncode == 0 and _apt("download", "--print-uris", *PACKAGES).returncode == 0


def install() -> list[Path | str]:
    """Returns the command that starts it. Downloads it only once, 8 MB."""
    if not INSTALLED.exists():
        if not can_install():
            raise RuntimeError("apt cannot find PgBouncer in Debian 13")
        done = _apt("download", *PACKAGES)
        if done.returncode:
            raise RuntimeError(f"apt cannot download PgBouncer:\n{done.stderr}")
        for package in DIRECTORY.glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", package, DIRECTORY / "root"], check=True)
            package.unlink()
        INSTALLED.touch()
    return command(DIRECTORY / "root")


def command(root: Path) -> list[Path | str]:
    """It needs a newer libc than Debian 12's, so its own loader starts it."""
    libraries = root / "usr" / "lib" / f"{platform.machine()}-linux-gnu"
    [loader] = libraries.glob("ld-linux-*.so.*")
    return [loader, "--library-path", libraries, root / "usr" / "sbin" / "pgbouncer"]


def _mirror() -> str | None:
    """The mirror from which this machine installs Debian 12; it has Debian 13 too."""
    wanted = ["--format", "$(REPO_URI)", "Created-By: Packages", "Label: Debian", "Codename: bookworm"]
    listed = subprocess.run(["apt-get", "indextargets", *wanted], capture_output=True, text=True, check=False)
    return next(iter(listed.stdout.split()), None)


def _configure(mirror: str) -> None:
    for folder in ("lists/partial", "cache/archives/partial"):
        (DIRECTORY / folder).mkdir(parents=True, exist_ok=True)
    (DIRECTORY / "status").touch()
    (DIRECTORY / "sources.list").write_text(f"deb [signed-by={KEYRING}] {mirror} trixie main\n")
    (DIRECTORY / "apt.conf").write_text(APT_CONFIGURATION.format(DIRECTORY))


def _apt(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "APT_CONFIG": str(DIRECTORY / "apt.conf")}
    return subprocess.run(
        ["apt-get", "-qq", *arguments], cwd=DIRECTORY, env=environment, capture_output=True, text=True, check=False
    )
