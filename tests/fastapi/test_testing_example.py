"""The example's backend has tests of its own, which need nothing but this package."""

import os
import subprocess
import sys
from pathlib import Path

BACKEND = Path(__file__).parents[2] / "examples" / "orchestrator_3_stream" / "backend"


def test_the_backends_own_tests_pass_without_environment_variables() -> None:
    environment = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_main.py"]
    done = subprocess.run(
        command, cwd=BACKEND, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout or done.stdout.startswith(".")
