"""The stage `validate`: the gate on documents."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from sluice.model.document import Document
from sluice.model.run import Run
from sluice.pipeline.batching import Batch
from sluice.pipeline.progress import progressing
from sluice.pipeline.quarantine import refuse
from sluice.pipeline.recording import gate_rules, gated, leave_out_failing, recorded
from sluice.ports.tools import Tools
from sluice.quality import gates

_SIMILAR_AT_MOST = 5_000  # signatures that a batch is compared with


def validate(tools: Tools, run: Run, batch: Batch, documents: Sequence[Document]) -> list[Document]:
    """Runs the gate on documents. A document that fails a blocking check is quarantined with the reason.

    A masked document continues with placeholders, a flagged one with a note in its metadata."""
    with (
        recorded(tools, run, batch.number, "validate") as counts,
        progressing("validate", batch.number, len(documents)) as progress,
    ):
        if not documents:
            return []
        generation = run.source.generation
        judge = partial(
            gates.documents_gate,
            rules=gate_rules(tools, generation),
            index_key=tools.keyring.index_key(run.source.spec.tenant),
            collection_id=generation.collection_id,
            similar=lambda bands: tools.ledger.quality.similar(run, bands, _SIMILAR_AT_MOST),
            on_checked=progress.step,
        )
        verdict, failures = leave_out_failing(judge, documents, "validate")
        counts["superseded"] = refuse(tools, run, failures)
        counts["quarantined"] = len(failures) - counts["superseded"]
        tools.ledger.quality.remember(run, verdict.signatures)
        return gated(tools, run, batch.number, "validate", verdict, counts)
