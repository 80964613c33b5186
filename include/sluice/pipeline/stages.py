"""The stages of a run, in order. Tasks, checkpoints, lineage and docs read this table.

Before the first stage `planning` scans the source; after the last one `finishing` deletes what is gone and compares the
stores. A stage takes the rows of one batch and returns the rows for the next stage; documents that fail are
quarantined.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sluice.model.run import Run
from sluice.pipeline import artefacts, chunking, embedding, extraction, loading, validation
from sluice.pipeline.artefacts import Artefact
from sluice.pipeline.batching import Batch
from sluice.ports.tools import Tools


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of every batch. Its name is also the name of its Airflow task and of its rows in `run_stages`."""

    name: str
    work: Callable[[Tools, Run, Batch, Sequence[Any]], Sequence[Any]]
    reads: Artefact
    writes: Artefact | None  # None: the stores
    inputs: tuple[str, ...] = ()  # lineage datasets that it reads beside the artefact
    # Lineage datasets that it writes beside the artefact, each with the stage's count that gives its number of rows.
    outputs: tuple[tuple[str, str], ...] = ()


EXTRACT = Stage("extract", extraction.extract, artefacts.SCANNED, artefacts.EXTRACTED, inputs=("source", "documents"))
VALIDATE = Stage("validate", validation.validate, artefacts.EXTRACTED, artefacts.VALIDATED)
CHUNK = Stage("chunk", chunking.chunk, artefacts.VALIDATED, artefacts.CHUNKED)
EMBED = Stage("embed", embedding.embed, artefacts.CHUNKED, artefacts.EMBEDDED, outputs=(("embeddings", "computed"),))
LOAD = Stage(
    "load",
    loading.load_in_task,
    artefacts.EMBEDDED,
    None,
    inputs=("embeddings",),
    outputs=(("versions", "documents"), ("chunks", "written"), ("points", "written"), ("graph", "")),
)
STAGES = (EXTRACT, VALIDATE, CHUNK, EMBED, LOAD)
BY_NAME = {stage.name: stage for stage in STAGES}
