"""The stage `validate`: the gate on documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from sluice.model.document import Document
from sluice.model.run import Run
from sluice.pipeline.batching import Batch
from sluice.pipeline.gating import Gating
from sluice.pipeline.recording import Recorder, leave_out_failing
from sluice.ports.content import Keyring
from sluice.ports.quality import Quality
from sluice.quality import gates

_SIMILAR_AT_MOST = 5_000  # signatures that a batch is compared with


@dataclass(frozen=True, slots=True)
class Validation:
    """The stage `validate`."""

    quality: Quality
    keyring: Keyring
    recorder: Recorder
    gating: Gating

    def validate(self, run: Run, batch: Batch, documents: Sequence[Document]) -> list[Document]:
        """Runs the gate on documents. A document that fails a blocking check is quarantined with the reason.

        A masked document continues with placeholders, a flagged one with a note in its metadata."""
        with self.recorder.progressing(run, batch.number, "validate", len(documents)) as (counts, progress):
            if not documents:
                return []
            generation = run.source.generation
            gate = partial(
                gates.documents_gate,
                rules=self.gating.rules(generation),
                index_key=self.keyring.index_key(run.source.spec.tenant),
                collection_id=generation.collection_id,
                similar=lambda bands: self.quality.similar(run, bands, _SIMILAR_AT_MOST),
                on_checked=progress.step,
            )
            verdict, failures = leave_out_failing(gate, documents, "validate")
            self.gating.quarantine_failures(run, failures, counts)
            self.quality.remember(run, verdict.signatures)
            return self.gating.record(run, batch.number, "validate", verdict, counts)
