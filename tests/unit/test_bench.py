"""`make bench` starts: its modules are found from the path that the Makefile gives."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_without_data_nothing_is_measured_and_the_reason_is_said() -> None:
    if not (ROOT / ".venv" / ".installed").exists():
        pytest.skip("needs the checkout's own .venv")
    given = {name: value for name, value in os.environ.items() if name not in ("SLUICE_TEST_DATA", "PYTHONPATH")}
    done = subprocess.run(
        ["make", "-s", "-o", ".venv/.installed", "bench"],
        cwd=ROOT,
        env=given,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "set SLUICE_TEST_DATA" in done.stdout
