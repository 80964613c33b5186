"""`kill -9` at every commit and every store call of the load path: a rerun converges, nothing is paid twice.

The points are found by watching the load path, not listed by hand. They fall into shares: one of them, chosen by the
commit, in the ordinary tests, and all of them in `make drill`.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import pytest

from support import dying
from support.agreement import Stores
from support.engines import EngineStack
from support.failpoints import Point, unreached
from support.recovery import AFTER, BEFORE, LATER, MOVED, Cases
from support.rotation import revision, share

SHARES = 32
OF_THIS_COMMIT = share(revision(Path(__file__).resolve().parents[2]), SHARES)


@dataclass(frozen=True)
class Death:
    path: Literal["flow", "batches"]
    first: bool  # of a source that nobody has seen yet
    point: Point

    def __str__(self) -> str:
        return f"{self.path}{', first ingest' if self.first else ''}: {self.point}"


@pytest.fixture(scope="module")
def deaths(stack: EngineStack, stores: Stores, tmp_path_factory: pytest.TempPathFactory) -> list[Death]:
    """Of each place the first time before it and the last time after it; of tasks that run apart, the last before."""
    cases = Cases(stack.settings, stores, tmp_path_factory.mktemp("traced"))
    changed, apart, first = (_passed(cases, *each) for each in (("flow", False), ("batches", False), ("flow", True)))
    result = [Death("flow", False, point) for point in {*_first(changed, False), *_last(changed, True)}]
    result += [Death("batches", False, point) for point in _last(apart, False)]
    known = {point.place for point in changed}
    new = {*_first(first, False), *_last(first, True)}
    result += [Death("flow", True, point) for point in new if point.place not in known]
    cases.close()
    return sorted(result, key=lambda death: (death.path, death.first, death.point))


def _passed(cases: Cases, path: Literal["flow", "batches"], first: bool) -> list[Point]:
    case = cases.make(path, apart=True) if first else cases.before(path)
    case.put(BEFORE if first else AFTER)
    ended = dying.run(case.order)
    assert (ended.exit_code, ended.outcome) == (0, "done"), ended
    return list(ended.passed)


def _first(passed: list[Point], after: bool) -> list[Point]:
    return [point for point in passed if point.number == 1 and point.after == after]


def _last(passed: list[Point], after: bool) -> list[Point]:
    return list({point.place: point for point in passed if point.after == after}.values())


def test_every_call_of_the_load_path_is_among_the_points(deaths: list[Death]) -> None:
    """A method of a port that no scenario reaches is either not of the load path, or the scenario lacks something."""
    assert unreached({death.point.place for death in deaths}) == []


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "drilled",
    [OF_THIS_COMMIT, *(pytest.param(share, marks=pytest.mark.drill) for share in range(SHARES))],
    ids=["this-commit", *map(str, range(SHARES))],
)
def test_a_rerun_converges(cases: Cases, deaths: list[Death], drilled: int) -> None:
    print(f"share {drilled}")
    for number, death in enumerate(deaths):
        if number % SHARES == drilled:
            _die_and_recover(cases, death, LATER if number // SHARES % 2 else AFTER)
            cases.close()


def _die_and_recover(cases: Cases, death: Death, tree: dict[str, str]) -> None:
    print(death)
    expected = cases.fresh(tree)
    case = cases.make(death.path, apart=True) if death.first else cases.before(death.path)
    known, lone = ({}, set()) if death.first else (case.ids(), case.orphans())
    case.put(BEFORE if death.first else AFTER)
    ended = dying.run(replace(case.order, die_at=death.point))
    assert ended.exit_code == -signal.SIGKILL, f"{death} was not reached: {ended.outcome} {ended.output}"
    lost = dying.unkept(case.order.folder)  # before a search is charged for its question
    assert lost or not death.point.unkept
    if not death.first:
        case.assert_never_a_mix()

    case.put(tree)
    if death.path == "batches":  # without a session, only the lease says that nobody works on the source
        case.expire_lease()
    case.ingest(anew=tree is LATER)
    case.assert_whole(expected)
    assert death.first or case.orphans() <= lone
    assert all(case.ids()[MOVED[name]] == known[name] for name in MOVED if name in known), "history was lost"
    twice = case.paid_twice()
    assert twice <= lost, f"{death}: {len(twice)} texts were paid twice, and {len(lost)} were paid and not kept"
    if tree is not LATER and (twice or death.point.unkept):  # else another thread stored them and could not say so
        assert twice == lost
