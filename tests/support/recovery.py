"""A source that changes in every way at once, what interrupts its ingest, and what must hold when that is over."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal
from uuid import UUID, uuid4

from sqlalchemy import text

from sluice.errors import Busy, Transient
from sluice.model.generation import Generation
from sluice.model.grants import ALL_GROUPS, Principal
from sluice.model.search import SearchRequest
from sluice.model.source import SourceSpec
from sluice.pipeline.requests import IngestRequest
from sluice.settings import Settings
from sluice.wiring.application import Sluice
from support import dying
from support.agreement import Held, Snapshot, Stores, assert_equal, ids_of
from support.dying import Order
from support.ledger_rows import outbox

LEASE_S = 1.0
PATIENCE_S = 20
_LEFT = text(
    "SELECT count(*) FROM versions v JOIN documents d USING (document_id) "
    "WHERE d.source_id = :source AND v.state = 'pending'"
)
_EXPIRE = text("UPDATE claims SET lapses_at = clock_timestamp() WHERE source_id = :source")
_HOLDS = text("SELECT lapses_at > clock_timestamp() FROM claims WHERE source_id = :source")
_OPEN = text("SELECT count(*) FROM runs WHERE source_id = :source AND state = 'running'")


def harbour(time: str) -> str:
    return (
        f"# Harbour\n\nThe ferry leaves at {time}. {'So says the HARBOUR master. ' * 12}\n\n## Tickets\n\nOn the QUAY."
    )


DRAFT = "# Draft\n\n" + "\n\n".join(f"Sentence number {number} of a LONG draft." for number in range(20))
ANCHOR = "# Anchor\n\n" + "Nothing to see but an OLD anchor. " * 10
BEFORE = {
    "harbour.md": harbour("nine"),
    "gone.md": "# Gone\n\nA page about the GOWN, to be deleted.\n",
    "old.md": ANCHOR,
    "draft.md": DRAFT,
    "same.md": "# Same\n\nAlways.\n",
    "late.md": "",
}
# An edit, a removal, two moves (one edited on the way), a new document, an unreadable one, one that is only touched,
# one that was in quarantine.
AFTER = {
    "harbour.md": harbour("ten"),
    "renamed.md": ANCHOR,
    "final.md": DRAFT + "\n\nThe END is new.\n",
    "new.md": "# New\n\nA page about a LIGHTHOUSE.\n",
    "same.md": "# Same\n\nAlways.\n",
    "empty.md": "",
    "late.md": "# Late\n\nFilled in by a LATE clerk.\n",
}
# The edit is taken back and the new document with it, before anybody ran again.
LATER = {**{name: text for name, text in AFTER.items() if name != "new.md"}, "harbour.md": harbour("nine")}
MOVED = {"old.md": "renamed.md", "draft.md": "final.md"}


class Before:
    """A port with something to do before the first call of one method."""

    def __init__(self, adapter: Any, method: str, first: Callable[[], Any]) -> None:
        self._adapter, self._method = adapter, method
        self._first: Callable[[], Any] | None = first

    def __getattr__(self, name: str) -> Any:
        if name == self._method and self._first:
            first, self._first = self._first, None
            first()
        return getattr(self._adapter, name)


def retried(ingest: Callable[[], dict[str, Any]], refused: type[Transient] = Busy) -> dict[str, Any]:
    """Tried again while a dead run holds the source, or whatever else passes."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return ingest()
        except refused:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@dataclass(frozen=True)
class Case:
    """One source with a collection and a tenant of its own."""

    order: Order
    sluice: Sluice
    stores: Stores
    documents: Path

    @property
    def spec(self) -> SourceSpec:
        return self.order.spec

    def put(self, tree: dict[str, str]) -> None:
        for path in self.documents.iterdir():
            if path.name not in tree:
                path.unlink()
        for name, content in tree.items():
            (self.documents / name).write_text(content)

    def ingest(self, *, anew: bool = False) -> dict[str, Any]:
        """`anew`: not the tasks that died, but a run of its own."""
        order = replace(self.order, run_id=uuid4()) if anew else self.order
        return retried(lambda: dying.work(self.sluice, order))

    def expire_lease(self) -> None:
        """As if the time of the source's lease had passed without a renewal."""
        with self.stores.engine.begin() as connection:
            expired = connection.execute(_EXPIRE, {"source": self._source_id()})
            assert expired.rowcount <= 1

    def holds_its_lease(self) -> bool:
        with self.stores.engine.connect() as connection:
            return bool(connection.execute(_HOLDS, {"source": self._source_id()}).scalar_one_or_none())

    def ids(self) -> dict[str, UUID]:
        return ids_of(self.stores.engine, self._source_id())

    def served(self) -> str:
        principal = Principal("tester", self.spec.tenant, frozenset({ALL_GROUPS}))
        request = SearchRequest("ferry tickets lighthouse page anchor sentence", self.spec.collection, 50)
        return "\n".join(passage.text for passage in self.sluice.search(request, principal).passages)

    def assert_never_a_mix(self) -> None:
        served = self.served()
        assert ("leaves at nine" in served) != ("leaves at ten" in served), "a mix of two versions, or none"

    def generation(self) -> Generation:
        return next(
            each for each in self.sluice.ledger.collections.generations() if each.collection == self.spec.collection
        )

    def orphans(self) -> set[str]:
        assert self.sluice.graph is not None
        result = self.sluice.graph.orphans(1000)
        return {*result.chunks, *result.documents, *result.entities}

    def assert_whole(self, expected: Held) -> Snapshot:
        """0 missing, 0 duplicate, 0 orphan, and nothing left that somebody would have to do."""
        now = self.stores.snapshot(self.sluice, self.spec)
        assert now.strays == []
        assert_equal(now.held, expected)
        report = self.sluice.reconciliation.reconcile(collection=self.spec.collection, deep=True).to_json()
        result = {name: report[name] for name in ("missing", "stale", "in_flight", "unreadable", "embedded")}
        assert not any(result.values()), result
        assert report["collections"][0]["surplus"] == 0
        assert outbox(self.sluice.ledger, self.generation().collection_id) == []
        with self.stores.engine.connect() as connection:
            source = {"source": self._source_id()}
            assert connection.execute(_LEFT, source).scalar_one() == 0, "pending versions are left"
            assert connection.execute(_OPEN, source).scalar_one() == 0, "a dead run counts as running"
        return now

    def paid_twice(self) -> Counter[str]:
        """Texts, by hash, with how often they were paid once too often."""
        paid: Counter[str] = sum(dying.bills(self.order.folder), Counter())
        return Counter({text: times - 1 for text, times in paid.items() if times > 1})

    def _source_id(self) -> UUID:
        return self.sluice.ledger.sources.open(
            self.spec, self.sluice.profile(), self.sluice.settings.declared_fields
        ).source_id


class Cases:
    """Makes them, each in a folder and a tenant of its own; and knows what a fresh ingest of a tree holds."""

    def __init__(self, settings: Callable[..., Settings], stores: Stores, folder: Path) -> None:
        self._settings, self._stores, self._folder = settings, stores, folder
        self._fresh: dict[str, Held] = {}
        self._made: list[Case] = []
        self._collection = f"t{uuid4().hex[:12]}"

    def make(self, path: Literal["flow", "batches"] = "flow", *, apart: bool = False, **changes: Any) -> Case:
        """`apart`: in a collection of its own, which does not exist yet."""
        name = f"t{uuid4().hex[:12]}"
        documents, beside = self._folder / name / "in", self._folder / name / "beside"
        documents.mkdir(parents=True)
        beside.mkdir()
        given = {"chunker": "chars:300:0", "embedder": "hash:16", "batch_size": 2, "lease_s": LEASE_S}
        given |= {"max_tokens_per_run": 1_000_000}  # so that each call of the embedder is reserved first
        given |= {"file_roots": str(self._folder), "artefacts_uri": (beside / "artefacts").as_uri(), **changes}
        spec = SourceSpec(documents.as_uri(), name if apart else self._collection, tenant=name)
        order = Order(self._settings(**given), spec, beside, path)
        case = Case(order, dying.sluice_of(order), self._stores, documents)
        self._made.append(case)
        return case

    def before(self, path: Literal["flow", "batches"] = "flow", **changes: Any) -> Case:
        """With the source as it was ingested."""
        case = self.make(path, **changes)
        case.put(BEFORE)
        case.sluice.ingestion.ingest(IngestRequest(case.spec))
        return case

    def fresh(self, tree: dict[str, str]) -> Held:
        key = repr(sorted(tree.items()))
        if key not in self._fresh:
            case = self.make()
            case.put(tree)
            case.sluice.ingestion.ingest(IngestRequest(case.spec))
            self._fresh[key] = case.stores.snapshot(case.sluice, case.spec).held
        return self._fresh[key]

    def close(self) -> None:
        while self._made:
            self._made.pop().sluice.close()
