"""The command line as a user runs it: a process from its start to its end."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping

from sluice.cli.terminal import OK, QUARANTINED

TIMEOUT_S = 1_800


def sluice(variables: Mapping[str, str], *arguments: str) -> None:
    """Documents in quarantine are no failure: two of Cranfield's are empty. Raises CalledProcessError."""
    command = [sys.executable, "-m", "sluice.cli", *arguments]
    done = subprocess.run(command, env=variables, stdout=subprocess.DEVNULL, timeout=TIMEOUT_S)
    if done.returncode not in (OK, QUARANTINED):
        raise subprocess.CalledProcessError(done.returncode, command)
