"""A chunk that comes back (A, then B, then A again) while a slow deletion of it is under way stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any, cast

import pytest

from recovery import Before
from sluice.errors import Transient
from sluice.indexing import outbox
from sluice.maintenance import reconciliation
from sluice.model.generation import Generation
from sluice.model.source import SourceSpec
from sluice.pipeline import ingestion
from sluice.pipeline.requests import IngestRequest
from sluice.ports.tools import Tools
from swapping import swapped

MakeTools = Callable[..., Tools]
A = "# Owls\n\nThe Barn Owl of Kent hunts voles above wet meadows at dusk.\n"
B = "# Newts\n\nThe Great Newt of Essex sleeps under stones.\n"
_LONG_S = 3.0  # an ingest that does not wait is over long before


class Slow:
    """A store whose deletions reach it late: when `over` is set, or after a while."""

    def __init__(self, store: Any, method: str) -> None:
        self._store, self._method = store, method
        self.begun, self.over = Event(), Event()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if name != self._method:
            return found

        def late(*args: Any, **options: Any) -> Any:
            self.begun.set()
            self.over.wait(_LONG_S)
            return found(*args, **options)

        return late


class Edited:
    """A document that was A and is B; the points and the part of the graph that A had are there still."""

    def __init__(self, tools: Tools, folder: Path, collection: str) -> None:
        self.tools, self.file = tools, folder / "in" / "page.md"
        self.file.parent.mkdir()
        self.spec = SourceSpec(self.file.parent.as_uri(), collection)
        self.file.write_text(A)
        ingestion.ingest(tools, IngestRequest(self.spec))
        self.file.write_text(B)

    @property
    def generation(self) -> Generation:
        return next(
            each for each in self.tools.ledger.collections.generations() if each.collection == self.spec.collection
        )

    def slow(self, port: str, method: str) -> tuple[Tools, Slow]:
        slow = Slow(getattr(self.tools, port), method)
        return replace(self.tools, **{port: cast(Any, slow)}), slow

    def assert_agrees(self) -> None:
        report = reconciliation.reconcile(self.tools, collection=self.spec.collection).to_json()
        assert {name: report[name] for name in ("missing", "stale", "in_flight")} == {
            "missing": 0,
            "stale": 0,
            "in_flight": 0,
        }
        assert report["collections"][0]["surplus"] == 0


@pytest.fixture
def edited(make_tools: MakeTools, tmp_path: Path, name: str) -> Edited:
    return Edited(make_tools([tmp_path]), tmp_path, name)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.mark.parametrize(("port", "method"), [("vectors", "delete"), ("graph", "remove")])
def test_the_outbox_deletes_nothing_that_has_come_back(
    edited: Edited, pool: ThreadPoolExecutor, port: str, method: str
) -> None:
    def down(*_: Any) -> None:
        raise Transient("the index is down")

    vectors: Any = Before(edited.tools.vectors, "delete", down)
    with pytest.raises(Transient):
        ingestion.ingest(
            replace(edited.tools, vectors=vectors), IngestRequest(edited.spec)
        )  # B is served, and A waits in the outbox
    tools, slow = edited.slow(port, method)
    draining = pool.submit(
        outbox.drain, edited.generation, ledger=tools.ledger, vectors=tools.vectors, graph=tools.graph
    )
    assert slow.begun.wait(20)
    edited.file.write_text(A)
    ingesting = pool.submit(ingestion.ingest, edited.tools, IngestRequest(edited.spec))
    ingesting.add_done_callback(lambda _: slow.over.set())
    assert draining.result(60) > 0
    assert ingesting.result(60).documents.changed == 1
    edited.assert_agrees()


@pytest.mark.parametrize(("port", "method"), [("vectors", "delete"), ("graph", "remove_chunks")])
def test_the_reconciler_removes_nothing_that_has_come_back(
    edited: Edited, pool: ThreadPoolExecutor, port: str, method: str
) -> None:
    _struck_off_undone(edited)
    tools, slow = edited.slow(port, method)
    reconciling: Future[Any] = pool.submit(
        reconciliation.reconcile, tools, collection=edited.spec.collection, repair=True
    )
    assert slow.begun.wait(20)
    edited.file.write_text(A)

    def written() -> None:
        slow.over.set()
        reconciling.result(60)  # it looks once more while the run has this in hand, and leaves it alone

    versions = Before(edited.tools.ledger.versions, "activate", written)
    ingestion.ingest(swapped(edited.tools, versions=versions), IngestRequest(edited.spec))
    assert reconciling.result(60).ok
    edited.assert_agrees()


def _struck_off_undone(edited: Edited) -> None:
    """B is served, the outbox is empty, and the stores hold A as well: a removal that was lost."""

    class Forgetful:
        def __init__(self, store: Any) -> None:
            self._store = store

        def __getattr__(self, name: str) -> Any:
            return (lambda *_: None) if name in ("delete", "remove") else getattr(self._store, name)

    stores: dict[str, Any] = {"vectors": Forgetful(edited.tools.vectors), "graph": Forgetful(edited.tools.graph)}
    with pytest.raises(Exception, match="do not hold the same chunks"):
        ingestion.ingest(replace(edited.tools, **stores), IngestRequest(edited.spec))
