"""The writing side of the ledger, and the vectors that were paid for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from sluice.model.chunk import Vector
from sluice.model.costs import Budget, Quota, Spent, TenantUse
from sluice.model.gates import GateResult, GateRow, GateRule, Signature
from sluice.model.generation import Generation, Profile
from sluice.model.points import LedgerChunk, Removal, SealedVersion, SourceDocument
from sluice.model.quarantine import Failure
from sluice.model.run import Counts, Run, RunMode, StageStat
from sluice.model.scan import Entry, Item, ScanPreview, ScanResult
from sluice.model.source import Source, SourceSpec
from sluice.ports.deletions import DeletionLedger
from sluice.ports.pruning import PruneLedger
from sluice.ports.retention import RetentionLedger
from sluice.ports.saved_sources import SavedSources


class Ledger(SavedSources, RetentionLedger, PruneLedger, DeletionLedger, Protocol):
    """The truth. Each method is one transaction, safe to repeat.

    What a run writes is fenced: once another run has claimed its source it raises Terminal. A run that never claimed
    may write as long as nobody else has. Not fenced is what a run says of itself: what it paid (`settle`), why it
    failed (`record_error`) and that it has (`finish_run`, `close_run`)."""

    def open_source(self, spec: SourceSpec, profile: Profile, filter_fields: tuple[str, ...]) -> Source:
        """Find or create tenant, collection (with generation 1 of `profile`) and source. A source that is new is saved
        with what `spec` gives; one that is saved is not changed, and the returned source's spec says what holds.
        An existing collection keeps its live generation and profile."""

    def save_source(self, spec: SourceSpec, profile: Profile, filter_fields: tuple[str, ...]) -> Source:
        """The same, and spec's groups, globs and retention replace what was saved; None keeps it. For people: a run
        gives them to `record_scan`."""

    def saved_source(self, tenant: str, collection: str, uri: str) -> SourceSpec | None:
        """What is saved of a source; None where there is no such source. Changes nothing."""

    def start_run(
        self, source: Source, mode: RunMode, run_id: UUID, orchestrator: str | None = None, budget: Budget = Budget()
    ) -> Run:
        """Idempotent on `run_id`, whose first budget holds. `orchestrator`: who runs it, e.g. `airflow:<dag>/<run>` or
        `cli`.

        One that names a single execution (it contains `:`) runs a source once at a time: an earlier run of this
        source that it left running is closed as failed, because its task was tried again."""

    def run(self, run_id: UUID) -> Run:
        """Raises NotFound."""

    def record_scan(
        self,
        run: Run,
        entries: Iterable[Entry],
        settings: SourceSpec | None = None,
        accept: Callable[[ScanResult], object] = lambda result: None,
    ) -> ScanResult:
        """Compare a *complete* scan with the ledger (streamed; memory only for what changed). New entries get
        document ids, committed before this returns; one that its source calls renamed (`former`) keeps its id.
        Unchanged: same fingerprint as when last active or quarantined (mode full: none is), or when purged as long as
        its retention has passed (in every mode). Raises Terminal on a duplicate external_id, naming it.

        `settings`: groups, globs and retention that replace what is saved of the source (None keeps it), in the same
        transaction. `accept(result)` is called before it is committed: where it raises, nothing at all is changed."""

    def preview_scan(self, source: Source | None, entries: Iterable[Entry]) -> ScanPreview:
        """What `record_scan` would find of a complete scan. Changes nothing and waits for nobody. None: a source that
        is not saved. A rename that only the content tells, and what a new retention would bring back, are not seen.
        Raises Terminal as `record_scan`."""

    def record_mark(self, run: Run, mark: str) -> None:
        """What names the state that the run's scan listed; see `MarkedReader`."""

    def last_mark(self, source: Source) -> str | None:
        """That of the last run that succeeded; None where none did or its source has no such name."""

    def session(self, run_id: UUID) -> AbstractContextManager[None]:
        """This process does the whole run, within the body, from before its first claim. Should the process end there,
        another run takes the source over at once; without a session it waits for the lease."""

    def claim(self, run: Run, lease_s: float) -> None:
        """This run alone works on its source, for `lease_s` seconds from now; to be renewed while it works, and
        given back by `finish_run` or `close_run`. From a run that has ended, whose lease has lapsed or whose session's
        process has ended it is taken over. Whatever other run of the source was never closed is closed as failed then
        (it was killed); one that was only slow is open again with its next claim. Raises Busy, which says who holds
        it."""

    def renew(self, run: Run, lease_s: float) -> bool:
        """The lease of the claim that the run holds lasts `lease_s` seconds from now. False, and nothing changed, where
        it holds none, or was closed: a renewal neither takes a source over nor opens a run again."""

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

    def vanished(self, run: Run) -> list[UUID]:
        """Documents that this run's scan missed and that were not found since under another name; by id. Kept where
        the run fails, because it may be resumed, until it succeeds or another scan of the source is recorded."""

    def fenced(self, run: Run) -> AbstractContextManager[None]:
        """Until the block ends no other run can take the source over; nor can this one renew its lease. Raises
        LostClaim where it does not hold its claim any more."""

    # The four below skip a document that `superseded` names: what is newer stays. The first three return those that
    # they skipped.

    def superseded(self, run: Run, document_ids: Sequence[UUID]) -> set[UUID]:
        """Those of these of which a run of the same source that was started later knows more: it has completed a scan
        of the source since this run's own, or has made a version active, or is about to, or has purged the document.
        A replay scans nothing: what it works on is superseded once its open record is closed or is a later run's."""

    def touch(self, run: Run, items: Sequence[Item]) -> set[UUID]:
        """Content is what is already active: remember only the new fingerprint (and uri)."""

    def quarantine(self, run: Run, failures: Sequence[Failure]) -> set[UUID]:
        """Record why; an active version stays served. Replaces an open record of the same document."""

    def stage(self, run: Run, versions: Sequence[SealedVersion]) -> set[UUID]:
        """Write pending versions with their chunks, mentions and relations. An older pending version of the same
        document (left by a crash) is dropped and its chunks queued for removal unless an active version has them."""

    def activate(self, run: Run, document_ids: Sequence[UUID]) -> list[UUID]:
        """One transaction: pending → active (number + 1, fingerprint, and the expiry that content served before keeps),
        the former active one superseded, chunks that are in it and not in the new one queued in the outbox, open
        quarantine records resolved. Chunk rows of the former version go, and entities that nothing mentions any more. A
        pending version that is skipped is dropped and its chunks queued. So is one that does not fit the tenant's
        quota, whoever else activates at the same time; returns the documents of those. First come, first served, in
        the order given."""

    def remove_documents(self, run: Run, document_ids: Sequence[UUID]) -> int:
        """Gone at the source: mark deleted (unreadable at once), queue the removal of all chunks. Returns how many
        this call marked. Raises Terminal where a run of the source started later has completed a scan since this run's
        own: this run's list of what vanished is then out of date, and nothing is removed."""

    # Quarantine keeps the bytes of what it refused, as far as they could be had; see `sluice.pipeline.quarantine`.

    def refused(self, run: Run, document_ids: Sequence[UUID] | None = None) -> list[Item]:
        """Open quarantine records of the run's source whose bytes are kept, as work for this run, whatever is active;
        of these documents only, where they are given. By id."""

    def released(self, source_id: UUID, limit: int) -> list[UUID]:
        """Documents of the source whose bytes are kept and wanted no more: no open quarantine record has them."""

    def let_go(self, document_ids: Sequence[UUID]) -> None:
        """Their bytes are kept no more: strike off."""

    def deleted_by(self, run: Run) -> int:
        """How many documents this run has marked deleted, in all its attempts."""

    def drop_leftovers(self, run: Run) -> int:
        """Drop pending versions of the source that nobody will activate: this run's own, and those of other runs
        whose lease does not hold any more. Their chunks are queued unless they are served.
        Returns how many versions went. To be called when all batches of the run are done."""

    def others_running(self, run: Run) -> bool:
        """Another run of the same source is at work, and its lease holds: the stores may hold what it has written and
        not yet activated."""

    def queued(self, generation: Generation) -> int:
        """Chunks that the outbox holds for the generation's collection: to be removed from the projections."""

    def removals(self, collection_id: UUID, limit: int, *, wait: bool = False) -> AbstractContextManager[list[Removal]]:
        """The oldest entries of the outbox, to be carried out within the block; where it ends without an error they are
        struck off. Chunks that a version has again are left out, and the documents are locked as by `locked`.

        Entries that another caller is at work on are left to it or, with `wait`, waited for: then nothing is queued
        any more where none are returned. Raises Transient where that takes too long."""

    def locked(self, document_ids: Sequence[UUID]) -> AbstractContextManager[None]:
        """Until the block ends no version of these is staged, activated or taken out: who wants to, waits."""

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

    def similar(self, run: Run, bands: Sequence[int], limit: int) -> list[Signature]:
        """Signatures that share a band with these: of documents that the run's generation serves, or that this run has
        remembered. Any `limit` of them where there are more."""

    def remember_signatures(self, run: Run, signatures: Sequence[Signature]) -> None:
        """One a document, the last one counts. They go when the document is removed."""

    # What embedding costs. Accounts are kept by (run, batch), and only ever added to: a retry that computes again has
    # paid again.

    def reserve(self, run: Run, batch: int, tokens: int) -> int:
        """Set aside up to `tokens` of what the run's budget has left, for one call of the embedder. Returns how many,
        0 where nothing is left. All batches together never get more than the budget. What this batch had set aside
        before (an attempt that crashed) is given back first."""

    def settle(self, run: Run, batch: int, spent: Spent) -> None:
        """The call is over: what it cost is added, what the batch had set aside is given back."""

    def spent(self, run: Run) -> Spent: ...

    def stop(self, run: Run, why: str) -> None:
        """The run is to take on nothing more. `why`: budget."""

    def stopped(self, run: Run) -> str | None:
        """Why the run was stopped; None: it was not."""

    def set_quota(self, tenant: str, quota: Quota) -> None:
        """In place of the one before. Creates the tenant where it is missing; what is served already stays."""

    def tenant(self, tenant: str) -> TenantUse:
        """Counted over the live generations; expired documents count until they are removed. A tenant that is not
        known holds nothing."""

    def quota(self, tenant: str) -> Quota:
        """Counts nothing."""

    def tenants(self) -> list[TenantUse]:
        """By name (operator's view)."""

    def beyond_quota(self, run: Run, sizes: Mapping[UUID, int]) -> set[UUID]:
        """Of these documents, by their sizes to be in bytes, those that would not fit now. `activate` decides."""

    def record_stage(self, run: Run, stat: StageStat) -> None: ...

    def stages(self, run: Run) -> list[StageStat]: ...

    def finish_run(self, run: Run, state: str, summary: Mapping[str, Any]) -> None:
        """`state`: succeeded, failed. May be repeated: the last state, summary and time stay."""

    def record_error(self, run: Run, summary: Mapping[str, Any]) -> None:
        """Why a part of a run failed that goes on: `error` and what else is to be known. The first one stays, and
        is forgotten when the run is opened again."""

    def close_run(self, run: Run, summary: Mapping[str, Any]) -> bool:
        """The run ends as failed and gives its source back, unless it has ended before; returns whether it had to be
        closed. What `record_error` recorded goes before `summary`."""

    def counts(self, generation: Generation, tenant: str | None = None) -> Counts:
        """Living documents and chunks of their active versions; open quarantine records."""

    def run_counts(self, run: Run) -> Counts:
        """Of the run's source: active documents, chunks, open quarantine records."""

    def reasons(self, run: Run) -> dict[str, int]:
        """Open quarantine records of the run's source, by code."""

    def generations(self) -> list[Generation]:
        """The live generation of every collection (operator's view)."""

    # What the projections must hold; see `sluice.maintenance.reconciliation`.

    def chunks_after(self, generation: Generation, after: UUID | None, limit: int) -> list[LedgerChunk]:
        """Chunks of active versions in the order of their ids' bytes; `after`: the last id of the page before."""

    def chunks_of(self, generation: Generation, chunk_ids: Sequence[UUID]) -> list[LedgerChunk]:
        """Those of these that active versions have now, in the order of their ids."""

    def claimed(self, generation: Generation, chunk_ids: Sequence[UUID]) -> set[UUID]:
        """Those that a version in any state has, or whose removal is queued: nobody else may take them out."""

    def documents_from(
        self, scheme: str, collection: str | None, after: UUID | None, limit: int
    ) -> list[SourceDocument]:
        """Living documents with an active version, of sources whose URI has this scheme, in one collection or (None)
        all; by id."""

    def last_signs(self, run_ids: Sequence[UUID]) -> dict[UUID, datetime]:
        """When each of these runs was last active: it was started, completed its scan, recorded a stage, or
        ended. While it holds its source, the end of its lease. A run that the ledger does not know is absent."""

    def in_quarantine(self, document_ids: Sequence[UUID]) -> set[UUID]:
        """Those with an open quarantine record, those whose source a run holds (it may be about to make one), and those
        that are no documents of this ledger: of what another ledger knows, or a later state of this one, nothing is
        known here."""

    def record_reconciliation(
        self, generation: Generation, started_at: datetime, repair: bool, found: Mapping[str, Any]
    ) -> bool:
        """A comparison that is over. False, and nothing is recorded, where the collection is being deleted or gone."""


class VectorCache(Protocol):
    """Embeddings by (embedder, text hash), durable, so that nothing is paid twice."""

    def cached(self, embedder: str, hashes: Sequence[bytes]) -> dict[bytes, Vector]: ...

    def store(self, embedder: str, hashes: Sequence[bytes], vectors: Vector) -> None:
        """vectors (n, dim) float32, rows in the order of `hashes`; committed when this returns."""

    def forget(self, embedder: str, hashes: Sequence[bytes]) -> None:
        """What a gate refused: computed anew when it is asked for again."""
