"""Any history of a source, crashes included: after a run that ended well, every store holds what is there now."""

from __future__ import annotations

import signal
from collections import Counter
from dataclasses import replace
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from sluice.pipeline.requests import IngestRequest
from sluice.wiring.application import Sluice
from support import dying
from support.agreement import Capitals, Stores
from support.failpoints import Point
from support.recovery import BEFORE, Cases, retried

NAMES = [f"{folder}{name}.md" for folder in ("", "a/", "b/") for name in "xyz"]
_KINDS = ["small", "large", "early", "late", "wild", "tame", "plain", "rare", "young", "old", "northern", "southern"]
# No sentence twice: texts that differ by repetitions alone have one vector, and the gate keeps them out.
PARAGRAPHS = [
    "".join(f"{word} of the {kind} kind is written of here, says the {word.upper()} in VIENNA. " for kind in _KINDS)
    for word in ("Herons", "Trains", "Bread", "Rivers", "Clocks", "Wool")
]
texts = st.lists(st.sampled_from(PARAGRAPHS), min_size=1, max_size=4).map(
    lambda parts: "\n\n".join(f"## Part {number}\n\n{part.strip()}" for number, part in enumerate(parts))
)


def approved(sluice: Sluice, order: dying.Order) -> dict[str, Any]:
    return sluice.ingestion.ingest(IngestRequest(order.spec, approve_shrink=True)).to_json()


class History(RuleBasedStateMachine):
    stores: Stores
    cases: Cases
    points: list[Point]

    def __init__(self) -> None:
        super().__init__()
        case = self.cases.make(lease_s=0.5)
        self.order, self.sluice, self.folder = case.order, case.sluice, case.documents
        self.lost: Counter[str] = Counter()  # paid, and gone with a crash before they could be kept

    @rule(name=st.sampled_from(NAMES), text=texts)
    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    @precondition(lambda self: len(self.files()) > 1)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        (self.folder / data.draw(st.sampled_from(sorted(self.files())))).unlink()

    @precondition(lambda self: self.files())
    @rule(data=st.data(), name=st.sampled_from(NAMES), edit=st.booleans())
    def rename(self, data: st.DataObject, name: str, edit: bool) -> None:
        path = self.folder / data.draw(st.sampled_from(sorted(self.files())))
        (self.folder / name).parent.mkdir(exist_ok=True)
        path = path.rename(self.folder / name)
        if edit:
            path.write_text(path.read_text() + "\n\n## Later\n\n" + PARAGRAPHS[0])

    @precondition(lambda self: self.files())
    @rule(at=st.integers(0, 1 << 16))
    def crash(self, at: int) -> None:
        point = self.points[at % len(self.points)]
        paid = len(dying.bills(self.order.folder))
        ended = dying.run(replace(self.order, die_at=point), approved)
        if ended.exit_code == -signal.SIGKILL and len(dying.bills(self.order.folder)) > paid:
            self.lost += dying.unkept(self.order.folder)

    @precondition(lambda self: self.files())
    @rule()
    def ingest(self) -> None:
        summary = retried(lambda: approved(self.sluice, self.order))
        now = self.stores.snapshot(self.sluice, self.order.spec)
        assert now.strays == []
        served: dict[str, str] = {}
        for (name, _), (text, _, _) in sorted(now.held.texts.items()):
            served[name] = f"{served.get(name, '')}\n{text}"
        assert {name: _words(text) for name, text in served.items()} == self.files()
        for place, (text, _, _) in now.held.texts.items():
            (said,) = (each.relations for each in Capitals().extract([text]))
            assert now.held.relations.get(place, set()) == {(a.lower(), kind, b.lower()) for a, kind, b in said}
        assert summary["documents"]["seen"] == len(self.files())
        paid = sum(dying.bills(self.order.folder), Counter()) - self.lost
        twice = {text for text, times in paid.items() if times > 1}
        assert not twice, "an embedding was paid twice"

    def files(self) -> dict[str, list[str]]:
        return {
            path.relative_to(self.folder).as_posix(): _words(path.read_text()) for path in self.folder.rglob("*.md")
        }

    def teardown(self) -> None:
        try:
            if self.files():
                History.ingest(self)
        finally:
            self.cases.close()  # its connections: there are many histories


def _words(text: str) -> list[str]:
    return text.replace("#", " ").split()


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("examples", [6, pytest.param(80, marks=pytest.mark.drill)])
def test_any_history(stores: Stores, cases: Cases, examples: int) -> None:
    traced = cases.make()
    traced.put(BEFORE)
    points = list(dying.run(traced.order).passed)
    machine: Any = type("Machine", (History,), {"stores": stores, "cases": cases, "points": points})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=12,
            deadline=None,
            phases=[Phase.generate],  # a history is short as it is; each step of shrinking would be a run of its own
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
