"""Runs the doctor in this process, and what it must never show."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pytest

from auth_middleware.cli import main
from dev import node
from dev.environment import without_our_settings

BASE_URL = "https://auth.example.com"
COOKIE = "__Secure-better-auth.session_token"


@dataclass(frozen=True)
class Diagnosis:
    """What the doctor printed as JSON, and as text."""

    status: int
    printed: str
    text: str

    @cached_property
    def report(self) -> dict[str, Any]:
        return json.loads(self.printed)

    @property
    def findings(self) -> list[dict[str, str]]:
        return self.report["findings"]

    @property
    def faults(self) -> list[str]:
        return [finding["message"] for finding in self.findings if finding["status"] == "fault"]

    def find(self, status: str, cause: str) -> list[dict[str, str]]:
        return [finding for finding in self.findings if finding["status"] == status and cause in finding["message"]]


class Doctor:
    """Runs the command with these variables, and no other of ours."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, variables: Mapping[str, str | None], *arguments: str) -> Diagnosis:
        given = {name: value for name, value in variables.items() if value is not None}
        with self._monkeypatch.context() as patched:
            for name, value in given.items():
                patched.setenv(name, value)
            self._capsys.readouterr()
            status = main(["doctor", "--json", *arguments])
            printed = self._capsys.readouterr()
            assert main(["doctor", *arguments]) == status
            text = self._capsys.readouterr()
        assert not printed.err
        assert not text.err
        return Diagnosis(status, printed.out, text.out)


@pytest.fixture
def doctor(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Doctor:
    return Doctor(monkeypatch, capsys)


# Signs JWTs with a new Ed25519 key; standard input holds pairs of header and claims.
SIGN = """
const { generateKeyPairSync, sign } = require("node:crypto");
const { publicKey, privateKey } = generateKeyPairSync("ed25519");
const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
const pairs = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
const tokens = pairs.map(([header, claims]) => {
  const message = `${part(header)}.${part(claims)}`;
  return `${message}.${sign(null, Buffer.from(message), privateKey).toString("base64url")}`;
});
console.log(JSON.stringify({ jwk: publicKey.export({ format: "jwk" }), tokens }));
"""


def sign_tokens(pairs: Sequence[tuple[Mapping[str, object], Mapping[str, object]]]) -> tuple[str, list[str]]:
    """The public key as a JSON Web Key, and the tokens that it verifies."""
    done = subprocess.run(
        [node.node(), "-e", SIGN],
        input=json.dumps(pairs),
        stdout=subprocess.PIPE,
        env=without_our_settings(),
        text=True,
        check=True,
    )
    signed = json.loads(done.stdout)
    return json.dumps(signed["jwk"]), signed["tokens"]
