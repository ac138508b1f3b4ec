"""Certificates for tests, created with the openssl program.

authority = Authority(directory)
server = authority.issue("server")
psycopg.connect(f"{dsn}?sslmode=verify-full&sslrootcert={authority.certificate}")
"""

import shutil
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

LOCAL_NAMES = ("DNS:localhost", "IP:127.0.0.1")
A_DAY = timedelta(days=1)

# copyall: the request determines the names. unique_subject: an authority may sign two certificates for one name.
CONFIGURATION = """
[ca]
default_ca = here
[here]
database = {directory}/index.txt
new_certs_dir = {directory}
rand_serial = yes
default_md = sha256
copy_extensions = copyall
unique_subject = no
policy = any
[any]
commonName = supplied
"""


class Certificate(NamedTuple):
    certificate: Path
    key: Path


def openssl() -> str | None:
    """The path of the program, or None."""
    return shutil.which("openssl")


class Authority:
    """A certificate authority in a new `directory`."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True)
        self.directory = directory
        self.certificate = directory / "authority.crt"
        self._key = _new_key(directory / "authority.key")
        # openssl's default configuration makes it CA:TRUE.
        subject = ["-subj", f"/CN={directory.name}", "-days", "2"]
        _openssl("req", "-x509", "-new", "-key", self._key, *subject, "-out", self.certificate)
        (directory / "index.txt").touch()
        self._configuration = directory / "authority.conf"
        self._configuration.write_text(CONFIGURATION.format(directory=directory))

    def issue(self, name: str, names: Sequence[str] = LOCAL_NAMES, *, expired: bool = False) -> Certificate:
        """A server certificate for `names`. Without names, it has only the common name `name`."""
        key = _new_key(self.directory / f"{name}.key")
        request, certificate = self.directory / f"{name}.csr", self.directory / f"{name}.crt"
        extensions = ["-addext", "basicConstraints=critical,CA:FALSE"]
        if names:
            extensions += ["-addext", f"subjectAltName={','.join(names)}"]
        _openssl("req", "-new", "-key", key, "-subj", f"/CN={name}", *extensions, "-out", request)
        expires_at = datetime.now(UTC) + (-A_DAY if expired else A_DAY)
        starts_at = min(datetime.now(UTC), expires_at) - A_DAY
        signer = ["-config", self._configuration, "-cert", self.certificate, "-keyfile", self._key]
        period = ["-startdate", f"{starts_at:%Y%m%d%H%M%SZ}", "-enddate", f"{expires_at:%Y%m%d%H%M%SZ}"]
        _openssl("ca", "-batch", "-notext", *signer, *period, "-in", request, "-out", certificate)
        return Certificate(certificate, key)


def _new_key(path: Path) -> Path:
    _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path)
    path.chmod(0o600)
    return path


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=30)
