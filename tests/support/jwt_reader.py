"""Reads JWTs with the public keys of a JWKS document, by Node's cryptography instead of ours."""

import json
import subprocess
from collections.abc import Mapping
from typing import Any

from dev import node

SCRIPT = """
import { createPublicKey, verify } from "node:crypto";
const { token, jwks } = JSON.parse(process.argv[1]);
const [header, claims, signature] = token.split(".");
const { kid, alg } = JSON.parse(Buffer.from(header, "base64url"));
const jwk = jwks.keys.find((key) => key.kid === kid && key.alg === alg);
const key = createPublicKey({ key: jwk, format: "jwk" });
if (!verify(null, Buffer.from(`${header}.${claims}`), key, Buffer.from(signature, "base64url"))) process.exit(1);
console.log(Buffer.from(claims, "base64url").toString());
"""


def verified(token: str, jwks: Mapping[str, Any]) -> dict[str, Any]:
    """The claims of a token that one of the keys signed."""
    arguments = json.dumps({"token": token, "jwks": jwks})
    command = [node.node(), "--input-type=module", "--eval", SCRIPT, arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=node.environment(), timeout=60)
    return json.loads(done.stdout)
