"""Who may do what is decided as the release decided it.

A deliberate change: `PYTHONPATH=include:tests python -m support.release_record decisions`, and a line in CHANGELOG.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from support.api_service import MakeWorld
from support.release_decisions import changes, decisions
from support.release_recordings import read, versions

VERSION = max(versions("decisions"), key=lambda version: [int(part) for part in version.split(".")])
RECORDED = read(VERSION, "decisions")


@pytest.fixture(scope="module")
def now(make_world: MakeWorld) -> Iterator[dict[str, Any]]:
    with make_world() as world:
        yield decisions(world)


@pytest.mark.parametrize("question", RECORDED)
def test_it_is_decided_as_it_was(now: dict[str, Any], question: str) -> None:
    assert list(changes(RECORDED[question], now[question])) == []


def test_every_question_is_recorded(now: dict[str, Any]) -> None:
    assert set(now) == set(RECORDED), "run python -m support.release_record decisions"
