"""The stage `extract`: bytes to text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from uuid import UUID

from sluice.encryption import content_hash
from sluice.errors import ExtractionError
from sluice.model.document import Document, FetchedDocument
from sluice.model.metadata import described
from sluice.model.quarantine import QuarantineEntry
from sluice.model.reasons import CIRCUMSTANTIAL
from sluice.model.run import Run
from sluice.model.scan import WorkItem
from sluice.pipeline.batching import Batch, batches
from sluice.pipeline.quarantine import Quarantine, identity
from sluice.pipeline.recording import Recorder
from sluice.pipeline.renames import RenameMatching
from sluice.pipeline.vanished_documents import VanishedDocuments
from sluice.ports.content import Extracted, Extractor, Keyring
from sluice.ports.costs import Costs
from sluice.ports.quotas import Quotas
from sluice.ports.versions import Versions

QUOTA = (
    "The quota of tenant {tenant} is reached; a version that is already served stays. Remove documents, or raise the "
    "quota (`sluice tenants set`). The next run tries again."
)


@dataclass(frozen=True, slots=True)
class Extraction:
    """The stage `extract`."""

    versions: Versions
    costs: Costs
    quotas: Quotas
    keyring: Keyring
    extractor: Callable[[], AbstractContextManager[Extractor]]
    recorder: Recorder
    quarantine: Quarantine
    renames: RenameMatching
    vanished_documents: VanishedDocuments

    def extract(self, run: Run, batch: Batch, items: Sequence[WorkItem]) -> list[Document]:
        """Extracts text from the documents of a batch.

        A document whose active content is the same is only touched. One that cannot be read is quarantined; so is one
        that would exceed the tenant's quota, before it costs anything. A stopped run leaves all documents to the next
        run."""
        index_key = self.keyring.index_key(run.source.spec.tenant)
        documents: list[Document] = []
        unchanged: list[WorkItem] = []
        failures: list[QuarantineEntry] = []
        if self.costs.exceeded(run):
            with self.recorder.recorded(run, batch.number, "extract") as counts:
                counts["remaining"] = len(items)
            return []
        unextracted: dict[UUID, FetchedDocument] = {}  # documents without text, until they are in quarantine
        read = self.quarantine.reading(run)
        with (
            self.recorder.progressing(run, batch.number, "extract", len(items)) as (counts, progress),
            self.extractor() as extractor,
        ):
            for part in batches(self.quarantine.wanted(run, items), len(items)):
                fetched: list[FetchedDocument] = []
                for item in part:
                    try:
                        fetched.append(read(item))
                    except ExtractionError as error:
                        failures.append(_quarantine_entry(item, error.code, error.reason))
                hashes = {raw.item.document_id: content_hash(index_key, identity(raw)) for raw in fetched}
                fetched = self.renames.same_content(run, fetched, hashes)
                hashes = dict(zip((raw.item.document_id for raw in fetched), hashes.values(), strict=True))
                known = {
                    raw.item.document_id
                    for raw in fetched
                    if (run.mode != "full" or raw.item.deleted) and raw.item.active_hash == hashes[raw.item.document_id]
                }
                unchanged += [raw.item for raw in fetched if raw.item.document_id in known]
                fetched = [raw for raw in fetched if raw.item.document_id not in known]
                progress.step(len(part) - len(fetched))
                for raw, extracted in zip(fetched, extractor.extract(fetched), strict=True):
                    progress.step()
                    if extracted.failure:
                        failures.append(_quarantine_entry(raw.item, *extracted.failure))
                        unextracted[raw.item.document_id] = raw
                    else:
                        documents.append(_document(raw, extracted, hashes[raw.item.document_id]))
                counts["bytes"] = counts.get("bytes", 0) + sum(len(raw.content) for raw in fetched)
            documents, beyond = self._within_quota(run, self.renames.similar_text(run, documents))
            failures += beyond
            touched = len(unchanged) - len(self.versions.touch(run, unchanged))
            superseded = self.quarantine.add(run, failures, unextracted)
            counts |= {"documents": len(documents), "unchanged": touched, "quarantined": len(failures) - superseded}
            counts |= {"superseded": len(unchanged) - touched + superseded, "read": batch.documents}
            counts["lost"] = sum(failure.item.new for failure in failures)
        self.vanished_documents.remove_missing(run)
        return documents

    def _within_quota(self, run: Run, documents: Sequence[Document]) -> tuple[list[Document], list[QuarantineEntry]]:
        """Splits documents into those within the tenant's quota and quarantine entries for the others.

        Runs after renames are matched, because a renamed document needs no additional quota."""
        sizes = {each.document_id: each.item.entry.size_bytes for each in documents}
        beyond = self.quotas.beyond(run, sizes)
        within = [each for each in documents if each.document_id not in beyond]
        return within, [beyond_quota(run, each) for each in documents if each.document_id in beyond]


def beyond_quota(run: Run, document: Document) -> QuarantineEntry:
    """Returns the quarantine entry of a document that the tenant's quota does not permit. The next run tries it
    again."""
    reason = QUOTA.format(tenant=run.source.spec.tenant)
    return QuarantineEntry(document.item, "quota", "quota", reason, retry=True, raw_hash=document.raw_hash)


def _quarantine_entry(item: WorkItem, code: str, reason: str) -> QuarantineEntry:
    return QuarantineEntry(item, "extract", code, reason, retry=code in CIRCUMSTANTIAL)


def _document(raw: FetchedDocument, extracted: Extracted, raw_hash: bytes) -> Document:
    name = raw.item.entry.external_id.rsplit("/", 1)[-1]
    title, metadata = described(raw.title or extracted.title or name, {**(extracted.metadata or {}), **raw.metadata})
    starts = extracted.page_starts
    return Document(raw.item, extracted.mime, title or name, extracted.text, raw_hash, metadata, starts)
