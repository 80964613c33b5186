"""A chunk that comes back (A, then B, then A again) while a slow deletion of it is under way stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any, cast

import pytest

from sluice.errors import Transient
from sluice.model.generation import Generation
from sluice.model.source import SourceSpec
from sluice.pipeline.requests import IngestRequest
from sluice.wiring.application import Sluice
from support.recovery import Before
from support.swapping import swapped

MakeTools = Callable[..., Sluice]
A = "# Owls\n\nThe Barn Owl of Kent hunts voles above wet meadows at dusk.\n"
B = "# Newts\n\nThe Great Newt of Essex sleeps under stones.\n"
_LONG_S = 3.0  # an ingest that does not wait is over long before


class Slow:
    """A store whose deletions reach it late: when `over` is set, or after a while."""

    def __init__(self, store: Any, method: str) -> None:
        self._store, self._method = store, method
        self.begun, self.over = Event(), Event()

    def __getattr__(self, name: str) -> Any:
        outcome = getattr(self._store, name)
        if name != self._method:
            return outcome

        def late(*args: Any, **options: Any) -> Any:
            self.begun.set()
            self.over.wait(_LONG_S)
            return outcome(*args, **options)

        return late


class Edited:
    """A document that was A and is B; the points and the part of the graph that A had are there still."""

    def __init__(self, sluice: Sluice, folder: Path, collection: str) -> None:
        self.sluice, self.file = sluice, folder / "in" / "page.md"
        self.file.parent.mkdir()
        self.spec = SourceSpec(self.file.parent.as_uri(), collection)
        self.file.write_text(A)
        sluice.ingestion.ingest(IngestRequest(self.spec))
        self.file.write_text(B)

    @property
    def generation(self) -> Generation:
        return next(
            each for each in self.sluice.ledger.collections.generations() if each.collection == self.spec.collection
        )

    def slow(self, port: str, method: str) -> tuple[Sluice, Slow]:
        slow = Slow(getattr(self.sluice, port), method)
        return swapped(self.sluice, **{port: cast(Any, slow)}), slow

    def assert_agrees(self) -> None:
        report = self.sluice.reconciliation.reconcile(collection=self.spec.collection).to_json()
        assert {name: report[name] for name in ("missing", "stale", "in_flight")} == {
            "missing": 0,
            "stale": 0,
            "in_flight": 0,
        }
        assert report["collections"][0]["surplus"] == 0


@pytest.fixture
def edited(make_sluice: MakeTools, tmp_path: Path, name: str) -> Edited:
    return Edited(make_sluice([tmp_path]), tmp_path, name)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


class Down:
    """A store of which one method never answers."""

    def __init__(self, adapter: Any, method: str) -> None:
        self._adapter, self._method = adapter, method

    def __getattr__(self, name: str) -> Any:
        if name == self._method:
            raise Transient("the store is down")
        return getattr(self._adapter, name)


def test_a_load_is_tried_again_where_a_store_fails_once(edited: Edited) -> None:
    def fail() -> None:
        raise Transient("the index restarts")

    vectors: Any = Before(edited.sluice.vectors, "upsert", fail)
    summary = swapped(edited.sluice, vectors=vectors).ingestion.ingest(IngestRequest(edited.spec))
    assert (summary.documents.changed, summary.chunks.written) == (1, 1)
    edited.assert_agrees()


@pytest.mark.parametrize(("port", "method"), [("vectors", "delete"), ("graph", "remove")])
def test_the_outbox_deletes_nothing_that_has_come_back(
    edited: Edited, pool: ThreadPoolExecutor, port: str, method: str
) -> None:
    vectors: Any = Down(edited.sluice.vectors, "delete")
    with pytest.raises(Transient):
        swapped(edited.sluice, vectors=vectors).ingestion.ingest(
            IngestRequest(edited.spec)
        )  # B is served, and A waits in the outbox
    sluice, slow = edited.slow(port, method)
    draining = pool.submit(sluice.stores.drain, edited.generation)
    assert slow.begun.wait(20)
    edited.file.write_text(A)
    ingesting = pool.submit(edited.sluice.ingestion.ingest, IngestRequest(edited.spec))
    ingesting.add_done_callback(lambda _: slow.over.set())
    assert draining.result(60) > 0
    assert ingesting.result(60).documents.changed == 1
    edited.assert_agrees()


@pytest.mark.parametrize(("port", "method"), [("vectors", "delete"), ("graph", "remove_chunks")])
def test_the_reconciler_removes_nothing_that_has_come_back(
    edited: Edited, pool: ThreadPoolExecutor, port: str, method: str
) -> None:
    _struck_off_undone(edited)
    sluice, slow = edited.slow(port, method)
    reconciling: Future[Any] = pool.submit(
        sluice.reconciliation.reconcile, collection=edited.spec.collection, repair=True
    )
    assert slow.begun.wait(20)
    edited.file.write_text(A)

    def written() -> None:
        slow.over.set()
        reconciling.result(60)  # it looks once more while the run has this in hand, and leaves it alone

    versions = Before(edited.sluice.ledger.versions, "activate", written)
    swapped(edited.sluice, versions=versions).ingestion.ingest(IngestRequest(edited.spec))
    assert reconciling.result(60).ok
    edited.assert_agrees()


def _struck_off_undone(edited: Edited) -> None:
    """B is served, the outbox is empty, and the stores hold A as well: a removal that was lost."""

    class Forgetful:
        def __init__(self, store: Any) -> None:
            self._store = store

        def __getattr__(self, name: str) -> Any:
            return (lambda *_: None) if name in ("delete", "remove") else getattr(self._store, name)

    stores: dict[str, Any] = {"vectors": Forgetful(edited.sluice.vectors), "graph": Forgetful(edited.sluice.graph)}
    with pytest.raises(Exception, match="do not hold the same chunks"):
        swapped(edited.sluice, **stores).ingestion.ingest(IngestRequest(edited.spec))
