"""Commands and routes answer as the release did: the same keys, types and nesting, and the same values where a run of
the same corpus gives the same.

A deliberate change: `PYTHONPATH=include:tests python -m support.release_record answers`, and a line in CHANGELOG.md.
"""

from __future__ import annotations

import os

import pytest

from support.engines import EngineStack
from support.release_answers import Answers, answers, differences
from support.release_recordings import read, versions
from support.scratch_databases import scratch_databases

VERSION = max(versions("answers"), key=lambda version: [int(part) for part in version.split(".")])
RECORDED: Answers = read(VERSION, "answers")


@pytest.fixture(scope="module")
def now(stack: EngineStack, tmp_path_factory: pytest.TempPathFactory) -> Answers:
    with scratch_databases(stack) as scratch:
        work = tmp_path_factory.mktemp("answers")
        return answers(scratch.environment(stack), work, f"r{os.urandom(6).hex()}")


@pytest.mark.parametrize("name", RECORDED)
def test_it_answers_as_it_did(now: Answers, name: str) -> None:
    assert differences(RECORDED[name], now[name]) == []


def test_every_answer_is_recorded(now: Answers) -> None:
    assert set(now) == set(RECORDED), "run python -m support.release_record answers"
