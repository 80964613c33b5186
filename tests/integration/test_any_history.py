"""Any history of a source, crashes included: after a run that ended well, every store holds what is there now."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from agreement import Capitals, Stores
from failing import CALLS, Crash, Crashing
from sluice import flow
from sluice.model import SourceSpec, Vector
from sluice.ports import Embedder, Tools

NAMES = [f"{folder}{name}.md" for folder in ("", "a/", "b/") for name in "xyz"]
PARAGRAPHS = [
    f"{word} is written of here, says the {word.upper()} in VIENNA. " * 12
    for word in ("Herons", "Trains", "Bread", "Rivers", "Clocks", "Wool")
]
texts = st.lists(st.sampled_from(PARAGRAPHS), min_size=1, max_size=4).map(
    lambda parts: "\n\n".join(f"## Part {number}\n\n{part.strip()}" for number, part in enumerate(parts))
)


class Counting:
    """An embedder that remembers what it was paid for."""

    def __init__(self, embedder: Embedder) -> None:
        self.name, self.dim, self.at_once, self._embedder = embedder.name, embedder.dim, embedder.at_once, embedder
        self.paid: Counter[str] = Counter()

    def embed(self, texts: Sequence[str]) -> Vector:
        return self.metered(texts)[0]

    def metered(self, texts: Sequence[str]) -> tuple[Vector, int]:
        self.paid.update(texts)
        return self._embedder.metered(texts)

    def tokens(self, texts: Sequence[str]) -> list[int]:
        return self._embedder.tokens(texts)


class History(RuleBasedStateMachine):
    stores: Stores
    make_tools: Callable[..., Tools]

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="sluice-history-"))
        self.folder = self.root / "in"
        self.folder.mkdir()
        name = f"h{uuid4().hex[:12]}"
        self.spec = SourceSpec(self.folder.as_uri(), name, tenant=name)
        tools = self.make_tools([self.root], chunker="chars:300:0", embedder="hash:16", batch_size=2)
        self.embedder = Counting(tools.embedder("hash:16"))
        self.tools = replace(tools, embedder=lambda profile: self.embedder, entities=lambda name: Capitals())
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
    @rule(call=st.sampled_from(CALLS), after=st.booleans())
    def crash(self, call: tuple[str, str], after: bool) -> None:
        port, method = call
        broken = Crashing(getattr(self.tools, port), method, after)
        before = self.embedder.paid.copy()
        try:
            flow.ingest(replace(self.tools, **{port: broken}), self.spec, approve_shrink=True)
        except Crash:
            if (port, method, after) == ("cache", "store", False):
                self.lost += self.embedder.paid - before

    @precondition(lambda self: self.files())
    @rule()
    def ingest(self) -> None:
        summary = flow.ingest(self.tools, self.spec, approve_shrink=True)
        now = self.stores.snapshot(self.tools, self.spec)
        assert now.strays == []
        served: dict[str, str] = {}
        for (name, _), (text, _, _) in sorted(now.held.texts.items()):
            served[name] = f"{served.get(name, '')}\n{text}"
        assert {name: _words(text) for name, text in served.items()} == self.files()
        for place, (text, _, _) in now.held.texts.items():
            (said,) = (each.relations for each in Capitals().extract([text]))
            assert now.held.relations.get(place, set()) == {(a.lower(), kind, b.lower()) for a, kind, b in said}
        assert summary["documents"]["seen"] == len(self.files())
        twice = {text for text, times in (self.embedder.paid - self.lost).items() if times > 1}
        assert not twice, "an embedding was paid twice"

    def files(self) -> dict[str, list[str]]:
        return {
            path.relative_to(self.folder).as_posix(): _words(path.read_text()) for path in self.folder.rglob("*.md")
        }

    def teardown(self) -> None:
        self.ingest_if_any()
        shutil.rmtree(self.root)

    def ingest_if_any(self) -> None:
        if self.files():
            History.ingest(self)


def _words(text: str) -> list[str]:
    return text.replace("#", " ").split()


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("examples", [6, pytest.param(80, marks=pytest.mark.drill)])
def test_any_history(stores: Stores, make_tools: Callable[..., Tools], examples: int) -> None:
    machine: Any = type("Machine", (History,), {"stores": stores, "make_tools": staticmethod(make_tools)})
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
