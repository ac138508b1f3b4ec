"""JWTs signed with a key of our own, by Node's own cryptography."""

import json
import subprocess
from collections.abc import Sequence
from typing import Any

from dev import node

PROGRAM = """
const { generateKeyPairSync, createPrivateKey, sign } = require("node:crypto");
const { key, tokens } = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
const pair = key ? { privateKey: createPrivateKey({ key, format: "jwk" }) } : generateKeyPairSync("ed25519");
const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
const signed = tokens.map(([header, claims]) => {
  const message = `${encode(header)}.${encode(claims)}`;
  return `${message}.${sign(null, Buffer.from(message), pair.privateKey).toString("base64url")}`;
});
console.log(JSON.stringify({ key: pair.privateKey.export({ format: "jwk" }), signed }));
"""


class TokenIssuer:
    """Signs JWTs with one Ed25519 key, whose id is 1."""

    def __init__(self) -> None:
        self._key: dict[str, str] | None = None
        self.sign([])

    @property
    def public_key(self) -> str:
        """A JSON Web Key, as in the `jwks` table."""
        return json.dumps({name: value for name, value in (self._key or {}).items() if name != "d"})

    def sign(self, tokens: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> list[str]:
        """A token for each header and its claims. The header's default is Better Auth's; None leaves a claim out."""
        whole = [({"alg": "EdDSA", "kid": "1", **header}, claims) for header, claims in tokens]
        given = json.dumps({"key": self._key, "tokens": [[header, _without_none(claims)] for header, claims in whole]})
        done = subprocess.run(
            [node.node(), "-e", PROGRAM], input=given, capture_output=True, text=True, check=True, timeout=60
        )
        answer = json.loads(done.stdout)
        self._key = answer["key"]
        return answer["signed"]


def _without_none(claims: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in claims.items() if value is not None}
