"""Runs the peer's own script in a separate virtual environment. `SLUICE_PEERS` names the folder of the script."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

REQUIREMENTS = ("cocoindex==1.0.26", "qdrant-client>=1.18,<1.20", "numpy")
INSTALL_TIMEOUT_S = 600
RUN_TIMEOUT_S = 300


def available() -> Path | None:
    folder = os.environ.get("SLUICE_PEERS")
    script = Path(folder) / "cocoindex_flow.py" if folder else None
    return script if script and script.is_file() else None


def install(folder: Path, requirements: tuple[str, ...] = REQUIREMENTS) -> Path:
    """Creates the environment. Returns the path of its Python."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "uv", "venv", "-q", str(folder)], check=True, timeout=INSTALL_TIMEOUT_S)
        install = [sys.executable, "-m", "uv", "pip", "install", "-q", "--python", str(python), *requirements]
        subprocess.run(install, check=True, timeout=INSTALL_TIMEOUT_S)
    return python


def phases(python: Path, script: Path, corpus: Path, environment: dict[str, str]) -> list[dict[str, Any]]:
    """Returns one figure per phase: {"phase", "s", "embedded", "points"}."""
    variables = {
        **os.environ,
        "CRANFIELD": str(corpus.parent),
        "QDRANT_URL": environment["SLUICE_QDRANT_URL"],
        "QDRANT_API_KEY": environment["SLUICE_QDRANT_API_KEY"],
    }
    variables.pop("PYTHONPATH", None)
    done = subprocess.run(
        [str(python), str(script)], env=variables, capture_output=True, text=True, timeout=RUN_TIMEOUT_S, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
