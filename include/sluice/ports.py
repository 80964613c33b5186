"""What the flow needs from the outside, as Protocols. Adapters implement them; `wiring.py` chooses.

Every method may raise `Transient` (a store is down or slow) and `Terminal` (it will never work); others are named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from sluice.model import (
    Candidate,
    CollectionInfo,
    Counts,
    DocumentInfo,
    Entry,
    Failure,
    GateResult,
    GateRow,
    GateRule,
    Generation,
    Grant,
    GraphChunk,
    GraphOrphans,
    GraphRow,
    Hydrated,
    Item,
    LedgerChunk,
    Mode,
    PassageLineage,
    Point,
    Principal,
    Profile,
    Raw,
    Removal,
    Run,
    ScanResult,
    SealedVersion,
    Signature,
    Source,
    SourceSpec,
    StageStat,
    StoredPoint,
    Vector,
    VectorQuery,
)


class Ledger(Protocol):
    """The truth. Each method is one transaction, safe to repeat."""

    def open_source(self, spec: SourceSpec, profile: Profile, filter_fields: tuple[str, ...]) -> Source:
        """Find or create tenant, collection (with generation 1 of `profile`) and source; spec's groups, globs and
        retention replace what was saved, None keeps it. The returned source's spec says what holds now, without None.
        An existing collection keeps its live generation and profile."""

    def saved_source(self, tenant: str, collection: str, uri: str) -> SourceSpec | None:
        """What is saved of a source, without None in it; None where there is no such source. Changes nothing."""

    def start_run(self, source: Source, mode: Mode, run_id: UUID, orchestrator: str | None = None) -> Run:
        """Idempotent on `run_id`. `orchestrator`: who runs it, e.g. `airflow:<dag>/<run>` or `cli`.

        One that names a single execution (it contains `:`) runs a source once at a time: an earlier run of this
        source that it left running is closed as failed, because its task was tried again."""

    def run(self, run_id: UUID) -> Run:
        """Raises NotFound."""

    def record_scan(self, run: Run, entries: Iterable[Entry]) -> ScanResult:
        """Compare a *complete* scan with the ledger (streamed; memory only for what changed). New entries get
        document ids, committed before this returns; one that its source calls renamed (`former`) keeps its id.
        Unchanged: same fingerprint as when last active or quarantined (mode full: none is). Raises Terminal on a
        duplicate external_id, naming it."""

    def claim(self, run: Run, lease_s: float) -> None:
        """This run alone works on its source, for `lease_s` seconds from now; to be repeated while it works, and
        given back by `finish_run`. From a run that has ended or given no sign of life it is taken over. Raises Busy,
        which says who holds it. A run whose source another one has claimed is refused (Terminal) by `adopt_…`, `stage`,
        `activate` and `remove_documents`; one that never claimed is not, as long as nobody else does."""

    def adopt_same(self, run: Run, hashes: Mapping[UUID, bytes]) -> dict[UUID, UUID]:
        """New documents with the keyed hash of their bytes. Each that this run's scan saw appear while it missed one
        with an active version of the same hash *is* that one: it takes over name and address, the new document goes.
        Returns new id → id from now on, also what an earlier try of this run found. One to one."""

    def missed(self, run: Run, limit: int) -> list[tuple[UUID, bytes]]:
        """Documents with an active version that this run's scan missed and that were not found since, with their
        sealed text; by id."""

    def adopt_similar(self, run: Run, scores: Mapping[UUID, Mapping[UUID, float]]) -> dict[UUID, UUID]:
        """The same as `adopt_same` for new documents with their likeness (0 to 1) to missed ones; best first."""

    def moved(self, run: Run) -> set[UUID]:
        """Documents that this run found under another name, whoever said so."""

    # The four below skip a document that a run of the same source started later has made active, or is about to: what
    # is newer stays.

    def touch(self, run: Run, items: Sequence[Item]) -> None:
        """Content is what is already active: remember only the new fingerprint (and uri)."""

    def quarantine(self, run: Run, failures: Sequence[Failure]) -> None:
        """Record why; an active version stays served. Replaces an open record of the same document."""

    def stage(self, run: Run, versions: Sequence[SealedVersion]) -> None:
        """Write pending versions with their chunks and mentions. An older pending version of the same document
        (left by a crash) is dropped and its chunks queued for removal unless an active version has them."""

    def activate(self, run: Run, document_ids: Sequence[UUID]) -> None:
        """One transaction: pending → active (number + 1, fingerprint, expiry), the former active one superseded,
        chunks that are in it and not in the new one queued in the outbox, open quarantine records resolved. Chunk
        rows of the former version go, and entities that nothing mentions any more. A pending version that is skipped
        is dropped and its chunks queued."""

    def remove_documents(self, run: Run, document_ids: Sequence[UUID]) -> int:
        """Gone at the source: mark deleted (unreadable at once), queue the removal of all chunks. Returns how many
        this call marked. Raises Terminal where a run of the source started later has completed a scan: this run's
        list of what vanished is then out of date, and nothing is removed."""

    def deleted_by(self, run: Run) -> int:
        """How many documents this run has marked deleted, in all its attempts."""

    def drop_leftovers(self, run: Run) -> int:
        """Drop pending versions of the source that nobody will activate: this run's own, and those of other runs that
        are not running any more (closed, or started 6 hours ago). Their chunks are queued unless they are served.
        Returns how many versions went. To be called when all batches of the run are done."""

    def others_running(self, run: Run) -> bool:
        """Another run of the same source is running, and was started less than 6 hours ago: the stores may hold what
        it has written and not yet activated."""

    def removals(self, collection_id: UUID, limit: int) -> list[Removal]: ...

    def removed(self, outbox_ids: Sequence[int]) -> None:
        """The projections have let go: strike off the outbox. (The chunk rows went with the switch.)"""

    def gate_rules(self, generation: Generation) -> dict[tuple[str, str], GateRule]:
        """By suite and code of the check: where the collection departs from the suites."""

    def set_gate_rule(self, generation: Generation, suite: str, code: str, rule: GateRule | None) -> bool:
        """Set or replace the rule of one check; None takes it back. Returns whether there was one."""

    def record_gates(
        self, run: Run, batch: int, stage: str, results: Sequence[GateResult], rows: Sequence[GateRow] = ()
    ) -> None:
        """Replaces what was recorded of this gate on this batch. Of each check the first 1,000 rows are kept; how many
        there were is in its result."""

    def gates(self, run: Run, batch: int) -> list[GateResult]: ...

    def gate_rows(self, run: Run, batch: int) -> list[GateRow]:
        """In the order of stages, then as recorded."""

    def similar(self, run: Run, bands: Sequence[int], limit: int) -> list[Signature]:
        """Signatures that share a band with these: of documents that the run's generation serves, or that this run has
        remembered. Any `limit` of them where there are more."""

    def remember_signatures(self, run: Run, signatures: Sequence[Signature]) -> None:
        """One a document, the last one counts. They go when the document is removed."""

    def record_stage(self, run: Run, stat: StageStat) -> None: ...

    def stages(self, run: Run) -> list[StageStat]: ...

    def finish_run(self, run: Run, state: str, summary: Mapping[str, Any]) -> None:
        """`state`: succeeded, failed. May be repeated: the last state, summary and time stay."""

    def counts(self, generation: Generation, tenant: str | None = None) -> Counts:
        """Living documents and chunks of their active versions; open quarantine records."""

    def run_counts(self, run: Run) -> Counts:
        """Of the run's source: active documents, chunks, open quarantine records."""

    def reasons(self, run: Run) -> dict[str, int]:
        """Open quarantine records of the run's source, by code."""

    def generations(self) -> list[Generation]:
        """The live generation of every collection (operator's view)."""

    # What the projections must hold; see `sluice.flow.reconcile`.

    def chunks_after(self, generation: Generation, after: UUID | None, limit: int) -> list[LedgerChunk]:
        """Chunks of active versions in the order of their ids' bytes; `after`: the last id of the page before."""

    def chunks_of(self, generation: Generation, chunk_ids: Sequence[UUID]) -> list[LedgerChunk]:
        """Those of these that active versions have now, in the order of their ids."""

    def claimed(self, generation: Generation, chunk_ids: Sequence[UUID]) -> set[UUID]:
        """Those that a version in any state has, or whose removal is queued: nobody else may take them out."""

    def record_reconciliation(
        self, generation: Generation, started_at: datetime, repair: bool, found: Mapping[str, Any]
    ) -> None:
        """A comparison that is over."""


class VectorCache(Protocol):
    """Embeddings by (embedder, text hash), durable, so that nothing is paid twice."""

    def cached(self, embedder: str, hashes: Sequence[bytes]) -> dict[bytes, Vector]: ...

    def store(self, embedder: str, hashes: Sequence[bytes], vectors: Vector) -> None:
        """vectors (n, dim) float32, rows in the order of `hashes`; committed when this returns."""


class Catalog(Protocol):
    """The reading side of the ledger. Tenant, groups, version, deletion and expiry are decided here."""

    def live(self, collection: str, principal: Principal) -> tuple[Generation, tuple[UUID, ...]]:
        """The live generation and the ids of the sources that this principal may read.
        Raises NotFound where the tenant has no such collection."""

    def hydrate(self, generation: Generation, chunk_ids: Sequence[UUID], principal: Principal) -> list[Hydrated]:
        """In the order given; what may not be read now is left out."""

    def collections(self, principal: Principal) -> list[CollectionInfo]:
        """Those with a source that this principal may read. Documents, chunks and open quarantine records are counted
        as far as they are the principal's to read now."""

    def documents(
        self, principal: Principal, collection: str, limit: int, after: UUID | None = None
    ) -> list[DocumentInfo]: ...

    def document(self, principal: Principal, document_id: UUID) -> DocumentInfo:
        """Raises NotFound, also where it is another tenant's."""

    def lineage(self, principal: Principal, chunk_id: UUID) -> PassageLineage:
        """Of a chunk that is served now. Raises NotFound, also where this principal may not read it."""

    def grants(self, principal: str) -> list[Grant]: ...

    def grant(self, grant: Grant) -> None:
        """Add or replace; creates the tenant where it is missing."""

    def revoke(self, principal: str, tenant: str) -> bool:
        """Take back what was granted there. False where nothing was."""

    def ping(self) -> str:
        """The server's version. Raises Unavailable."""


class Keyring(Protocol):
    """Document keys and tenants' index keys, unwrapped. Kept apart from all data."""

    def index_key(self, tenant: str) -> bytes:
        """32 bytes; made on first use."""

    def create(self, document_ids: Sequence[UUID]) -> dict[UUID, bytes]:
        """Existing keys are kept."""

    def get(self, document_ids: Sequence[UUID]) -> dict[UUID, bytes]:
        """A document without a key (erased) is absent."""

    def ping(self) -> str:
        """The server's version. Raises Unavailable."""


class VectorIndex(Protocol):
    def ensure(self, generation: Generation) -> None:
        """Physical collection, payload indexes and alias exist when this returns."""

    def upsert(self, generation: Generation, points: Sequence[Point]) -> None:
        """In bounded batches; durable when this returns."""

    def delete(self, generation: Generation, chunk_ids: Sequence[UUID]) -> None: ...

    def search(self, generation: Generation, query: VectorQuery) -> list[Candidate]:
        """Best first; dense and sparse fused by RRF (k = 60) where both are given."""

    def count(self, generation: Generation, tenant: str | None = None, source: UUID | None = None) -> int: ...

    def points(
        self, generation: Generation, after: UUID | None, limit: int, *, vectors: bool = False
    ) -> list[StoredPoint]:
        """In the order of their ids' bytes; `after`: the last id of the page before. None where the collection is
        lost. `vectors`: with both."""

    def points_of(
        self, generation: Generation, chunk_ids: Sequence[UUID], *, vectors: bool = False
    ) -> list[StoredPoint]:
        """Those of these that are there, in any order."""

    def ping(self) -> str: ...


class GraphIndex(Protocol):
    def ensure(self) -> None:
        """Constraints and indexes exist when this returns."""

    def write(self, source: Source, chunks: Sequence[GraphChunk]) -> None:
        """MERGE documents, chunks and entities; a chunk's document, ordinal and MENTIONS become exactly the given
        ones. An entity shows a name and kind that a mention of it carries now."""

    def remove(self, removals: Sequence[Removal]) -> None:
        """Chunks, documents that are gone, and entities that nothing mentions any more."""

    def remove_chunks(self, generation: Generation, chunk_ids: Sequence[UUID]) -> None:
        """With their mentions, and entities that nothing mentions any more. What is not there is no error."""

    def drop(self, generation: Generation) -> None:
        """All chunks of the generation, in bounded transactions, with the documents and entities that only it held.
        Safe to repeat after a crash."""

    def count(self, generation: Generation, tenant: str | None = None, source: UUID | None = None) -> int:
        """Chunks."""

    def chunks(self, generation: Generation, after: UUID | None, limit: int) -> list[GraphRow]:
        """In the order of chunk ids' bytes; `after`: the last id of the page before. A page costs its own length."""

    def chunks_of(self, generation: Generation, chunk_ids: Sequence[UUID]) -> list[GraphRow]:
        """Those of these that are there, in any order."""

    def orphans(self, limit: int) -> GraphOrphans:
        """What nothing supports, in any collection, at most `limit` of each kind. Looks at everything: nightly work."""

    def drop_orphans(self, orphans: GraphOrphans) -> int:
        """Those of them that are orphans still. Returns how many went, without the relationships that a node took
        with it."""

    def related(
        self, generation: Generation, tenant: str, entity_ids: Sequence[UUID], limit: int
    ) -> list[tuple[UUID, int]]:
        """Entities that share chunks of this generation and tenant with the given ones, which are left out themselves.
        (entity id, weight): weight = chunks that mention it and at least one of the given. Heaviest first, then by
        id."""

    def ping(self) -> str: ...


class Embedder(Protocol):
    name: str
    dim: int

    def embed(self, texts: Sequence[str]) -> Vector:
        """(n, dim), float32, L2-normalised, rows in the order of `texts`."""


class EntityExtractor(Protocol):
    name: str

    def extract(self, texts: Sequence[str]) -> list[list[tuple[str, str, int]]]:
        """Per text: (kind, name, count), names as written."""


EntityIds = Callable[[str, str], UUID]
"""(kind, name) → entity id within one tenant."""


class Blobs(Protocol):
    """Object storage below one root. Paths are relative, with `/`."""

    def write(self, path: str, content: bytes) -> str:
        """All or nothing; returns the full uri."""

    def read(self, path: str) -> bytes:
        """Raises NotFound."""

    def remove(self, prefix: str) -> None: ...

    def list(self, prefix: str) -> list[str]:
        """Paths of all objects below a folder, sorted. Raises Transient rather than leave one out."""

    def uri(self, path: str) -> str: ...


@dataclass(frozen=True, slots=True)
class Connection:
    """A source's server and the login there. Kept apart from the source's URI, which is stored and shown."""

    host: str = ""
    port: int | None = None
    login: str = ""
    password: str = field(default="", repr=False)
    schema: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)  # what the kind of source defines


Connections = Callable[[str], Connection]
"""A connection by its id. Raises BadRequest where there is none, or where this source may not use it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowQuery:
    """Rows of a database that are documents, and the columns that have a meaning."""

    table: tuple[str, ...] = ()  # name, or schema and name
    select: str | None = None  # instead of a table
    id: str
    text: str
    title: str
    updated_at: str


@dataclass(frozen=True, slots=True)
class ListedRow:
    id: str | None
    mark: str  # equal marks mean: unchanged
    size_bytes: int  # of the text as it is stored


class Rows(Protocol):
    """A source's rows, only ever read."""

    def listed(self) -> Iterator[ListedRow]:
        """All rows at one moment, by id, then mark; rows without an id last. Memory is bounded."""

    def fetch(self, row_id: str, max_bytes: int) -> tuple[int, dict[str, Any] | None] | None:
        """(bytes of its text, its columns as JSON values; None where the text is larger than `max_bytes`). The first
        by mark of those with the id; None where there is none."""


OpenRows = Callable[[Connection, RowQuery], Rows]
"""Connects on first use."""


class SourceReader(Protocol):
    """One kind of source (file, jsonl, …)."""

    def scan(self) -> Iterator[Entry]:
        """List all, without reading contents where that can be avoided. An error while listing is raised:
        an incomplete scan must never look like a complete one. Unreadable single entries are still listed."""

    def read(self, item: Item) -> Raw:
        """Raises Unreadable (this document alone) or Transient."""


class MarkedReader(SourceReader, Protocol):
    """A source with a history: it says what changed since an earlier scan (`Entry.former`)."""

    def mark(self) -> str | None:
        """What names the state that `scan` lists, e.g. a commit; kept when the run is complete, and given to the
        reader of the next one."""


class Extractor(Protocol):
    """Bytes to text, isolated: a hostile file costs a subprocess, not the run."""

    def extract(self, raws: Sequence[Raw]) -> list[Extracted]:
        """One result a raw, in order."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Extracted:
    """Text of one document, or why there is none."""

    text: str = ""
    mime: str = ""
    title: str | None = None
    metadata: Mapping[str, Any] | None = None
    page_starts: tuple[int, ...] = ()
    failure: tuple[str, str] | None = None  # code, reason


@dataclass(frozen=True, slots=True)
class Tools:
    """Everything the flow works with; built by `wiring.py`."""

    ledger: Ledger
    cache: VectorCache
    catalog: Catalog
    keyring: Keyring
    vectors: VectorIndex
    graph: GraphIndex | None  # None: graph is off
    blobs: Blobs
    extractor: Callable[[], AbstractContextManager[Extractor]]
    reader: Callable[[SourceSpec], SourceReader]
    embedder: Callable[[str], Embedder]  # by profile name, cached per process
    entities: Callable[[str], EntityExtractor | None]
    entity_id: Callable[[bytes, str], UUID]  # (index key of the tenant, name)
    tokenizer: Callable[[], Any]  # tokenizers.Tokenizer, cached per process
    profile: Profile  # for collections that do not exist yet
    filter_fields: tuple[str, ...]
    batch_size: int
    lease_s: float  # a run that gives no sign of life for so long has lost its source
    max_shrink: float  # share of a source's documents that may be missing without somebody's approval
    pings: Mapping[str, Callable[[], str]]  # engine → its version; raises Unavailable. Only engines that are on
    close: Callable[[], None]  # gives connections back
    marquez_url: str | None = None  # where lineage can be looked at, too
    marquez_web_url: str = ""
    gate_rules: Mapping[tuple[str, str], GateRule] = field(
        default_factory=dict
    )  # of all collections, by suite and code
