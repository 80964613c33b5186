"""Runs the command line as a user does, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping

from sluice.cli.terminal import OK, QUARANTINED

TIMEOUT_S = 10_800  # an ingest of a million chunks


def sluice(variables: Mapping[str, str], *arguments: str) -> str:
    """Runs `sluice` and returns its output. Quarantined documents are not a failure: two of Cranfield are empty. Raises
    CalledProcessError."""
    command = [sys.executable, "-m", "sluice.cli", *arguments]
    done = subprocess.run(command, env=variables, stdout=subprocess.PIPE, text=True, timeout=TIMEOUT_S)
    if done.returncode not in (OK, QUARANTINED):
        raise subprocess.CalledProcessError(done.returncode, command)
    return done.stdout
