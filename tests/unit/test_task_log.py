"""An error of ours is one line of a task's log; whether it is tried again does not depend on that."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sluice import errors
from sluice.airflow.dag_defaults import RETRIES
from sluice.airflow.task_log import one_line

ROOT = Path(__file__).resolve().parents[2]
# As Airflow sets up the log of a task's process, and logs what the task raised.
TASK = """
import sys, structlog
from airflow.sdk.log import configure_logging, reset_logging
reset_logging()
configure_logging(json_output=True, output=open(sys.argv[1], "wb", buffering=0), sending_to_supervisor=True)
log = structlog.get_logger(logger_name="task").bind()
log.info("before")
from sluice.airflow.task_log import shorten_sluice_errors
from sluice.errors import BadRequest
shorten_sluice_errors(); shorten_sluice_errors()
for error in (BadRequest("There is no 100 % of it. Give another one."), ValueError("unforeseen")):
    try:
        try:
            raise OSError("below")
        except OSError as cause:
            raise error from cause
    except Exception:
        log.exception("Task failed with exception")
"""


def test_the_log_of_a_task(tmp_path: Path) -> None:
    file = tmp_path / "log"
    done = subprocess.run(
        [sys.executable, "-c", TASK, str(file)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "include"), "AIRFLOW_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    ours, foreign = (line for line in lines if line["level"] == "error")
    assert ours["event"] == "sluice: There is no 100 % of it. Give another one. (BadRequest)"
    assert "error_detail" not in ours and "exception" not in ours
    assert foreign["event"] == "Task failed with exception"
    assert "unforeseen" in json.dumps(foreign) and "test" not in foreign["event"]
    assert "frames" in json.dumps(foreign), "the traceback of what nobody foresaw stays"


def test_other_events_are_left_alone() -> None:
    for event in ({"event": "x"}, {"event": "x", "exc_info": True}, {"event": "x", "exc_info": ValueError("y")}):
        assert one_line(None, "error", dict(event)) == event
    given: dict[str, Any] = {"event": "error calling listener", "exc_info": errors.Busy("at work"), "more": 1}
    assert one_line(None, "error", given) == {"event": "sluice: at work (Busy, error calling listener)", "more": 1}


def test_whoever_debugs_sees_the_traceback(caplog: pytest.LogCaptureFixture) -> None:
    event = {"event": "x", "exc_info": errors.Busy("at work")}
    with caplog.at_level(logging.DEBUG):
        assert one_line(None, "error", dict(event)) == event


@pytest.mark.parametrize(
    ("error", "action"),
    [
        (errors.BadRequest("x"), "fail"),
        (errors.Disagreement("x"), "fail"),
        (errors.Busy("x"), "retry"),
        (errors.Unavailable("qdrant", "x"), "retry"),
        (ValueError("x"), "default"),
    ],
)
def test_transient_errors_are_tried_again_and_terminal_ones_are_not(error: Exception, action: str) -> None:
    assert RETRIES.evaluate(error, try_number=1, max_tries=3).action.value == action
