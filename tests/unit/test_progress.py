"""A long stage says how far it is, also while one call takes long."""

from __future__ import annotations

import logging
import threading

import pytest

from sluice.pipeline import progress
from support.waiting import wait_until


def test_a_slow_stage_is_not_silent(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(progress, "EVERY_S", 0.05)
    with caplog.at_level(logging.INFO, "sluice.progress"), progress.progressing("embed", 3, 40, "chunks") as stage:
        wait_until(lambda: caplog.records, "the stage is silent")
        stage.step(10)
        wait_until(lambda: caplog.records[-1].getMessage().endswith(" s left"), "its progress is not told")
    output = [record.getMessage() for record in caplog.records]
    assert output[0].startswith("embed, batch 3: 0 of 40 chunks, running for ")
    assert output[-1].startswith("embed, batch 3: 10 of 40 chunks, ") and output[-1].endswith(" s left")
    running = {thread.name for thread in threading.enumerate()}
    assert "progress-embed-3" not in running, "nothing is told of a stage that has ended"


def test_a_quick_stage_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "sluice.progress"), progress.progressing("load", 0, 1):
        pass
    assert caplog.records == []


def test_what_is_tried_again_is_not_counted_beyond_all() -> None:
    stage = progress.Progress("chunk", 0, 10, "documents")
    for count in (6, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1):
        stage.step(count)
    assert str(stage).startswith("chunk, batch 0: 10 of 10 documents, ") and str(stage).endswith(", running for 0 s")


@pytest.mark.parametrize(("done", "took_s", "shown"), [(1, 50, "0.02/s, 50 s left"), (1, 0.01, "100.0/s, 0 s left")])
def test_a_slow_rate_is_not_shown_as_zero(
    done: int, took_s: float, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = progress.Progress("load", 0, 2, "chunks")
    stage.step(done)
    began_s = stage._began_s
    monkeypatch.setattr("time.monotonic", lambda: began_s + took_s)
    assert str(stage) == f"load, batch 0: 1 of 2 chunks, {shown}"
