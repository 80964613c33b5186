"""Great Expectations in a child process: it is imported there while documents are read here, and validates there while
the previous batch is embedded and loaded here.

Requests and answers are pickled on the child's standard input and output; both ends run this module, and requests
contain only numbers. The child ends with the body of `evaluation.gates_process`. If its parent dies, it ends after
its import or its current validation.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock, Timer
from typing import TYPE_CHECKING, Any

import sluice
from sluice.processes import reap

if TYPE_CHECKING:
    from sluice.quality.checks import Check
    from sluice.quality.expectations import Outcome

LOST = (EOFError, OSError, pickle.UnpicklingError)
_TIMEOUT_S = 120.0  # for the import on a busy machine, or for one batch
_PASSED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH")


class GatesProcess:
    """The child process, started by the first call. Threads may share it; their calls run one after the other. `ready`
    and `evaluate` raise one of LOST if the process has ended."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._imported = False

    def start(self) -> None:
        """Starts the process without waiting for it."""
        with self._lock:
            self._started()

    def ready(self) -> bool:
        """Waits until Great Expectations is imported. Returns whether this call had to wait."""
        with self._lock:
            if self._imported:
                return False
            self._answer()
            self._imported = True
            return True

    def evaluate(self, suite: str, checks: Sequence[Check], columns: Mapping[str, Sequence[Any]]) -> list[Outcome]:
        """As `expectations.evaluate`."""
        self.ready()
        with self._lock:
            answer = self._answer((suite, checks, columns))
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]

    def stop(self) -> None:
        """Ends the process and waits until it has ended."""
        if self._process is not None:
            self._process.kill()
            reap(self._process)

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "sluice.quality.process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # a failure there is repeated, and reported, in this process
                env=_environment(),
                start_new_session=True,  # Ctrl-C is for this process, which ends the other
            )
        return self._process

    def _answer(self, request: object = None) -> Any:
        """Returns the answer to `request`, or the message after the import if there is none. An interrupted call ends
        the process: its answer would be read by the next call."""
        process = self._started()
        assert process.stdin is not None and process.stdout is not None
        timer = Timer(_TIMEOUT_S, process.kill)
        timer.daemon = True
        timer.start()
        try:
            if request is not None:
                pickle.dump(request, process.stdin)
                process.stdin.flush()
            return pickle.load(process.stdout)  # noqa: S301  # of our own process
        except BaseException:
            process.kill()
            raise
        finally:
            timer.cancel()


def _environment() -> dict[str, str]:
    """Returns the variables for the child: paths of programs and libraries, and locale; no secrets."""
    passed = {name: os.environ[name] for name in _PASSED if name in os.environ}
    return {**passed, "PYTHONPATH": str(Path(sluice.__file__).resolve().parents[1])}


def _serve() -> None:
    from sluice.errors import SluiceError
    from sluice.quality import expectations

    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # output of a library must not mix with the answers

    def answer(value: object) -> None:
        pickle.dump(value, answers)
        answers.flush()

    expectations.ready()
    answer("ready")
    while True:
        try:
            request = pickle.load(sys.stdin.buffer)  # noqa: S301  # of the process that started this one
        except EOFError:
            return
        try:
            answer(expectations.evaluate(*request))
        except SluiceError as error:
            answer(error)


if __name__ == "__main__":
    _serve()
