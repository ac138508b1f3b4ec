"""make fuzz: runs the functions of tests/rust/properties with coverage-guided inputs, for less than a minute.

It needs no installation: libFuzzer is compiled from a crate, and the compiler flags are those of `cargo fuzz`, whose
directory layout `fuzz/` follows. Only the address sanitizer is left out: it needs a nightly toolchain, and our code has
`forbid(unsafe_code)`. The first build takes additional time.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
VECTORS = ROOT / "tests" / "vectors"
TARGET = ROOT / "target" / "fuzz"
SECONDS = 50

PERSON = ["YpzT0Yk3nW5v", "session", "user", "Ada", "ada@example.com", "", "::1", "curl", "admin", "41.5", "[1]"]

FLAGS = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
]


def main() -> int:
    start = time.monotonic()
    if not (os.environ.get("CXX") or shutil.which("c++")):
        print("missing: a C++ compiler, for libFuzzer. To get it: apt-get install g++", file=sys.stderr)
        return 1
    built = build()
    left = SECONDS - (time.monotonic() - start)
    seconds = max(5, int(left / len(built)))
    return max([fuzz(program, seconds) for program in built])


def build() -> list[Path]:
    """Builds the fuzz targets and returns the paths of the programs."""
    version = subprocess.run(["rustc", "-vV"], check=True, stdout=subprocess.PIPE, text=True).stdout
    host = re.search(r"^host: (.*)$", version, re.MULTILINE)
    assert host, version
    # The same dependency versions as the crate; Cargo adds libFuzzer.
    shutil.copy(ROOT / "Cargo.lock", ROOT / "fuzz" / "Cargo.lock")
    # With an explicit target, the flags do not apply to build scripts and macros.
    command = ["cargo", "build", "--release", "--bins", "--manifest-path=fuzz/Cargo.toml"]
    command += [f"--target={host[1]}", f"--target-dir={TARGET}"]
    environment = {**os.environ, "CARGO_ENCODED_RUSTFLAGS": "\x1f".join(FLAGS)}
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    sources = sorted((ROOT / "fuzz" / "fuzz_targets").glob("*.rs"))
    return [TARGET / host[1] / "release" / source.stem for source in sources]


def fuzz(program: Path, seconds: int) -> int:
    """Fuzzes one target. Failing inputs go to the directory that `cargo fuzz` uses."""
    corpus, seeds = (TARGET / folder / program.name for folder in ("corpus", "seeds"))
    artifacts = ROOT / "fuzz" / "artifacts" / program.name
    for folder in (corpus, seeds, artifacts):
        folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(dict.fromkeys(SEEDS[program.name]())):
        (seeds / str(number)).write_bytes(seed)
    bounds = [f"-max_total_time={seconds}", "-max_len=8192", "-timeout=5", "-rss_limit_mb=2048", "-print_final_stats=1"]
    command = [program, *bounds, f"-artifact_prefix={artifacts}/", corpus, seeds]
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    log = run.stdout.decode(errors="replace")
    if run.returncode != 0:
        print(log)
        print(
            f"fuzz {program.name}: FAILED; the input is in {artifacts}. To reproduce: {program} FILE", file=sys.stderr
        )
        return 1
    executed = re.search(r"number_of_executed_units: (\d+)", log)
    reached = re.findall(r"cov: (\d+)", log)
    assert executed, log
    assert reached, log
    print(f"fuzz {program.name}: {int(executed[1]):,} inputs in {seconds} s, coverage {reached[-1]}, no failure")
    return 0


def vectors() -> list[dict[str, Any]]:
    return json.loads((VECTORS / "session-vectors.json").read_text())["vectors"]


def cookie_headers() -> Iterator[bytes]:
    """The recorded Cookie headers."""
    for vector in vectors():
        if header := vector["cookie_header"]:
            yield header.encode()


def session_data() -> Iterator[bytes]:
    """The recorded session_data values, their contents, and a user. `on_bytes` explains the first byte."""
    for vector in vectors():
        for value in re.findall(r"session_data=([^;]+)", vector["cookie_header"] or ""):
            segments = value.split(".")
            form = {1: 0, 3: 1}.get(len(segments), 2)
            yield bytes([form]) + value.encode()
            try:
                text = segments[1 if form else 0]
                claims = json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
                payload = json.dumps(claims if form else claims["session"], separators=(",", ":"))
            except (ValueError, LookupError, TypeError):
                continue  # encrypted, or malformed on purpose
            for form in range(3):
                yield bytes([3 + form]) + payload.encode()
    for form in range(3):
        yield bytes([6 + form, 0, 9]) + "\n".join(PERSON).encode()


def origins() -> Iterator[bytes]:
    for row in json.loads((VECTORS / "origins.json").read_text())["matching"]:
        yield f"{row['pattern']}\n{row['url']}".encode()


def jwts() -> Iterator[bytes]:
    """The recorded tokens, their headers and their claims, and edits; see `on_bytes` for the first byte."""
    for vector in json.loads((VECTORS / "jwt-vectors.json").read_text())["vectors"]:
        token = vector["token"]
        yield b"\0" + token.encode()
        for choice, part in enumerate(token.split(".")[:2], start=1):
            yield bytes([choice]) + urlsafe_b64decode(part + "=" * (-len(part) % 4))
    header = '{"alg":"EdDSA","kid":"k","typ":"JWT"}'
    claims = (
        '{"iat":1790000000,"exp":1790000900,"iss":"https://auth.example.com",'
        '"aud":["https://auth.example.com"],"sub":"ada","id":"ada"}'
    )
    yield b"\1" + header.encode()
    yield b"\2" + claims.encode()
    for at in (0, 20, 40, 200, 300):
        for instead in (b"", b"A", b".", b"=", b"ey"):
            yield bytes([3, *at.to_bytes(2), 1]) + instead


SEEDS = {"cookie_header": cookie_headers, "session_data": session_data, "origin_pattern": origins, "jwt": jwts}


if __name__ == "__main__":
    sys.exit(main())
