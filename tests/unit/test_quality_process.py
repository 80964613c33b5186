"""Great Expectations in a process of its own: the same verdicts, and no process is left behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from sluice.quality import evaluation, expectations
from sluice.quality.process import GatesProcess
from support.waiting import wait_until

HERE = Path(__file__).parent
ENVIRONMENT = {"PYTHONPATH": ":".join(sys.path), "AWS_SECRET_ACCESS_KEY": "never passed on"}
PRELUDE = """
import sys, time
import psutil
from uuid import UUID
from test_quality import BAD, document, documents_gate
from sluice.quality import evaluation
from sluice.quality.evaluation import gates_process, prepare

def others():
    return psutil.Process().children(recursive=True)

def verdict():
    found = documents_gate([document("a"), *BAD.values()])
    return found.results, found.rows, [(each.code, each.item.document_id) for each in found.failures]
"""


def test_it_judges_as_this_process_would_and_ends_with_the_body() -> None:
    code = """
from dataclasses import replace
from sluice.errors import Terminal
from sluice.quality.checks import SUITES

with gates_process():
    assert not others()
    prepare()
    [process] = others()
    assert "AWS_SECRET_ACCESS_KEY" not in process.environ()
    assert evaluation.ready() > 0 and evaluation.ready() == 0
    there = verdict()
    try:
        evaluation.evaluate("documents", [replace(SUITES["documents"][0], column="nowhere")], {"there": [1]})
    except Terminal as error:
        assert "there is no column nowhere" in str(error)
    else:
        raise AssertionError("nothing was told")
    assert "great_expectations" not in sys.modules
    assert [process] == others()
assert not others()

with gates_process():
    prepare()
    [process] = others()
    process.kill()
    process.wait()
    assert verdict() == there
    assert "great_expectations" in sys.modules

with gates_process():
    prepare()
    assert not others()
"""
    command = [sys.executable, "-c", PRELUDE + code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, env=ENVIRONMENT, cwd=HERE)
    assert done.returncode == 0, done.stderr


def test_an_interrupted_call_ends_it_so_that_no_answer_is_taken_for_another() -> None:
    process = GatesProcess()
    process._process = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    # To this thread, as Ctrl-C comes to the main one: another thread's signal does not end what this one waits for.
    timer = threading.Timer(0.3, signal.pthread_kill, [threading.get_ident(), signal.SIGINT])
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        process.ready()
    assert process._process.wait(10) == -signal.SIGKILL, "it goes on, and its answer would be the next call's"
    timer.join()
    with pytest.raises(EOFError):
        process.ready()
    process.stop()


def test_where_it_cannot_be_started_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError("no more processes")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    monkeypatch.delitem(sys.modules, "great_expectations", raising=False)
    monkeypatch.setattr(expectations, "_ready", True)  # so that this process need not import it here
    with evaluation.gates_process():
        evaluation.prepare()
        assert evaluation.ready() == 0


def test_it_does_not_outlive_a_process_that_is_killed() -> None:
    code = "with gates_process():\n    prepare()\n    print(others()[0].pid, flush=True)\n    time.sleep(60)\n"
    asked = [sys.executable, "-c", PRELUDE + code]
    with subprocess.Popen(asked, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT, cwd=HERE) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert psutil.pid_exists(pid)
        process.kill()
    wait_until(lambda: ended(pid), "it outlives the process that started it")


def ended(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
