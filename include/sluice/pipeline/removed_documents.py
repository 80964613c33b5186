"""What is gone at the source leaves the ledger as soon as it is certain that it was not renamed.

That waits for no store. From then on it is not served, and the outbox carries the removal on to the stores, now or when
they are back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from sluice.errors import SluiceError, Terminal, Unavailable
from sluice.model.run import Run, StageStat
from sluice.ports.tools import Tools

FEW = 20  # documents: fewer may always vanish, unless they are all
_STORES = ("qdrant", "neo4j")  # in the order in which removals are carried out


def remove_missing(tools: Tools, run: Run) -> None:
    """Nothing where a document that the scan missed may still turn out to be one that is new. Safe to repeat."""
    if gone := tools.ledger.moves.vanished(run):
        stages = tools.ledger.runs.stages(run)
        if _certain(stages) and not _replaced(stages, len(gone), tools.max_shrink):
            tools.ledger.versions.remove(run, gone)


def check_replaced(tools: Tools, run: Run) -> None:
    """Raises Terminal where much vanished, and what appeared in its place cannot be used."""
    gone = len(tools.ledger.moves.vanished(run))
    if gone and (lost := _replaced(tools.ledger.runs.stages(run), gone, tools.max_shrink)):
        raise Terminal(
            f"{gone} documents of {run.source.spec.uri} vanished, and {lost} that appeared cannot be used (they are in "
            "quarantine). A folder that was encrypted or mounted wrongly looks like this, so none was removed. If they "
            "are meant to go, run once with --approve-shrink (in Airflow: approve_shrink)."
        )


def _replaced(stages: Sequence[StageStat], gone: int, max_shrink: float) -> int:
    """How many new documents cannot be used, where that leaves more missing than may vanish unasked; else 0."""
    scan = next((each.counts for each in stages if each.stage == "scan"), {})
    lost = sum(each.counts.get("lost", 0) for each in stages if each.stage == "extract")
    if not _certain(stages):
        return 0
    much = gone >= FEW and gone > max_shrink * scan.get("known", 0)
    return lost if much and not scan.get("approved") else 0


def _certain(stages: Sequence[StageStat]) -> bool:
    """All work was planned, and nothing of it is new or all of it was read: renames are found while reading."""
    scan = next((each.counts for each in stages if each.stage == "scan"), None)
    if scan is None or scan.get("unplanned", 1):
        return False
    read = sum(each.counts.get("read", 0) for each in stages if each.stage == "extract")
    return not scan["appeared"] or read == scan["planned"]


@contextmanager
def reporting_pending_removals(tools: Tools, run: Run) -> Iterator[None]:
    """A store that is down is told with what it still holds of documents that are gone."""
    try:
        yield
    except Unavailable as error:
        if error.dependency in _STORES:
            with suppress(SluiceError):  # the store is the error to tell, whatever the ledger says
                error.args = (f"{error}{_pending(tools, run, error.dependency)}",)
        raise


def _pending(tools: Tools, run: Run, store: str) -> str:
    deleted, chunks = tools.ledger.versions.deleted_by(run), tools.ledger.outbox.queued(run.source.generation)
    if not deleted or not chunks:
        return ""
    stores = [each for each in _STORES[_STORES.index(store) :] if each == store or tools.graph is not None]
    return (
        f" What is gone at the source (documents: {deleted}) was removed from the ledger and is no longer served; "
        f"{chunks} chunks are still to be removed from {' and '.join(stores)}, which the next run does."
    )
