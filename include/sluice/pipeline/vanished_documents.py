"""Deletes documents in the ledger that are gone at the source, as soon as it is certain that they were not renamed.

This needs no other store. The documents are not served from then on. The outbox removes them from the stores, now or
when these are available again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from sluice.errors import SluiceError, Terminal, Unavailable
from sluice.model.run import Run, StageStat
from sluice.ports.outbox import Outbox
from sluice.ports.renames import Renames
from sluice.ports.runs import Runs
from sluice.ports.versions import Versions

FEW = 20  # documents: fewer may always vanish, unless the source is then empty
_STORES = ("qdrant", "neo4j")  # in the order in which outbox entries are processed


@dataclass(frozen=True, slots=True)
class VanishedDocuments:
    """Deletes documents that are gone at the source."""

    renames: Renames
    runs: Runs
    versions: Versions
    outbox: Outbox
    has_graph: bool  # whether deleted chunks are to be removed from a graph, too
    max_shrink: float  # share of a source's documents that may be missing without approval

    def remove_missing(self, run: Run) -> None:
        """Deletes vanished documents. Does nothing where one may still be matched with a new document. Safe to
        repeat."""
        if vanished := self.renames.vanished(run):
            stages = self.runs.stages(run)
            if _renames_settled(stages) and not _replaced(stages, len(vanished), self.max_shrink):
                self.versions.remove(run, vanished)

    def check_replaced(self, run: Run) -> None:
        """Raises Terminal where many documents vanished and the ones that appeared instead are in quarantine."""
        vanished = len(self.renames.vanished(run))
        if vanished and (lost := _replaced(self.runs.stages(run), vanished, self.max_shrink)):
            raise Terminal(
                f"{vanished} documents of {run.source.spec.uri} vanished, and {lost} that appeared cannot be used "
                "(they are in quarantine). The cause may be a folder that was encrypted or mounted wrongly, so none "
                "was removed. To delete these documents, run once with --approve-shrink (in Airflow: approve_shrink)."
            )

    @contextmanager
    def reporting_pending(self, run: Run) -> Iterator[None]:
        """If a store is unavailable, adds to the error how many chunks of deleted documents it still has."""
        try:
            yield
        except Unavailable as error:
            if error.dependency in _STORES:
                with suppress(SluiceError):  # raise the store's error, also where the ledger fails
                    error.args = (f"{error}{self._pending(run, error.dependency)}",)
            raise

    def _pending(self, run: Run, store: str) -> str:
        deleted, chunks = self.versions.deleted_by(run), self.outbox.queued(run.source.generation)
        if not deleted or not chunks:
            return ""
        stores = [each for each in _STORES[_STORES.index(store) :] if each == store or self.has_graph]
        return (
            f" What is gone at the source (documents: {deleted}) was deleted in the ledger and is no longer served; "
            f"{chunks} chunks are still to be removed from {' and '.join(stores)}. The next run removes them."
        )


def _replaced(stages: Sequence[StageStat], vanished: int, max_shrink: float) -> int:
    """Returns how many new documents are in quarantine where more vanished than allowed without approval; else 0."""
    scan = next((each.counts for each in stages if each.stage == "scan"), {})
    lost = sum(each.counts.get("lost", 0) for each in stages if each.stage == "extract")
    if not _renames_settled(stages):
        return 0
    many = vanished >= FEW and vanished > max_shrink * scan.get("known", 0)
    return lost if many and not scan.get("approved") else 0


def _renames_settled(stages: Sequence[StageStat]) -> bool:
    """Returns whether all renames are known: all work was planned, and nothing of it is new or all of it was read.

    Renames are matched while documents are read."""
    scan = next((each.counts for each in stages if each.stage == "scan"), None)
    if scan is None or scan.get("unplanned", 1):
        return False
    read = sum(each.counts.get("read", 0) for each in stages if each.stage == "extract")
    return not scan["appeared"] or read == scan["planned"]
