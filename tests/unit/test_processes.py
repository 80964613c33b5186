"""Child processes end, and their pipes are closed, whoever else holds them."""

from __future__ import annotations

import os
import subprocess
import sys

from sluice.processes import reap


def test_a_pipe_that_another_process_holds_does_not_delay_the_end() -> None:
    """A process that the dead one started has inherited its output, and lives on."""
    program = "import subprocess, sys; print(subprocess.Popen(['sleep', '60']).pid, flush=True); sys.stdin.read()"
    process = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None
    holder = int(process.stdout.readline())
    try:
        process.kill()
        reap(process)
        assert process.returncode == -9, "it was waited for, not its output"
        assert process.stdin.closed and process.stdout.closed
    finally:
        os.kill(holder, 9)
