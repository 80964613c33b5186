"""Calls that are tried again."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sluice import retry
from sluice.errors import Terminal, Transient
from sluice.retry import retried


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_PAUSE_S", 0.001)


def failing(*errors: Exception) -> tuple[list[int], Callable[[], str]]:
    left = list(errors)
    calls: list[int] = []

    def call() -> str:
        calls.append(1)
        if left:
            raise left.pop(0)
        return "done"

    return calls, call


def test_what_is_transient_is_tried_again() -> None:
    calls, call = failing(Transient("one"), Transient("two"))
    assert retried(call) == "done" and len(calls) == 3


def test_and_told_when_it_stays_so() -> None:
    calls, call = failing(*(Transient(str(number)) for number in range(9)))
    with pytest.raises(Transient, match="2"):
        retried(call)
    assert len(calls) == retry.ATTEMPTS


def test_what_no_retry_helps_is_told_at_once() -> None:
    calls, call = failing(Terminal("no"))
    with pytest.raises(Terminal):
        retried(call)
    assert len(calls) == 1
