"""Great Expectations in a process of its own: it imports there while documents are read here, and judges there while
the batch before is embedded and loaded here.

Requests and answers are pickled on the process's standard input and output; both ends are this code, and what is judged
are numbers. It ends with the body of `judging.gates_process`; where the process that started it dies, at the end
of its import or of what it judges.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock, Timer
from typing import TYPE_CHECKING, Any

import sluice

if TYPE_CHECKING:
    from sluice.quality.expectations import Outcome
    from sluice.quality.suites import Check

LOST = (EOFError, OSError, pickle.UnpicklingError)
_TIMEOUT_S = 120.0  # to import on a busy machine, or to judge one batch
_STOP_TIMEOUT_S = 5.0
_PASSED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH")


class GatesProcess:
    """Started by the first call. Threads may share it: one is answered after the other.
    `ready` and `judge` raise one of LOST where the process is gone."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._imported = False

    def start(self) -> None:
        """Does not wait."""
        with self._lock:
            self._started()

    def ready(self) -> bool:
        """Wait until Great Expectations is imported. True where this call waited."""
        with self._lock:
            if self._imported:
                return False
            self._answer()
            self._imported = True
            return True

    def judge(self, suite: str, checks: Sequence[Check], columns: Mapping[str, Sequence[Any]]) -> list[Outcome]:
        """As `expectations.judge`."""
        self.ready()
        with self._lock:
            answer = self._answer((suite, checks, columns))
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]

    def stop(self) -> None:
        """The process is gone when this returns."""
        process = self._process
        if process is None:
            return
        process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_TIMEOUT_S)

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "sluice.quality.process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # what goes wrong there is done again, and said, in this process
                env=_environment(),
                start_new_session=True,  # Ctrl-C is for this process, which ends the other
            )
        return self._process

    def _answer(self, request: object = None) -> Any:
        """To `request`; without one, what it says after its import. A call that is interrupted ends the process, since
        its answer would be taken for the next one's."""
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
    """No secret, whoever's it is: where programs and libraries are, and how to write."""
    passed = {name: os.environ[name] for name in _PASSED if name in os.environ}
    return {**passed, "PYTHONPATH": str(Path(sluice.__file__).resolve().parents[1])}


def _serve() -> None:
    from sluice.errors import SluiceError
    from sluice.quality import expectations

    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not get between the answers

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
            answer(expectations.judge(*request))
        except SluiceError as error:
            answer(error)


if __name__ == "__main__":
    _serve()
