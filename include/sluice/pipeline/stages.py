"""The stages of a run, in order. Tasks, lineage and docs read this table; `ingestion` calls the stages in its order.

Before the first stage `planning` scans the source; after the last one `finishing` deletes what is gone and compares the
stores. A stage takes the rows of one batch and returns the rows for the next stage; documents that fail are
quarantined.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sluice.model.run import Run
from sluice.pipeline import artefacts
from sluice.pipeline.artefacts import Artefact
from sluice.pipeline.batching import Batch
from sluice.pipeline.chunking import Chunking
from sluice.pipeline.embedding import Embedding
from sluice.pipeline.extraction import Extraction
from sluice.pipeline.finishing import Finishing
from sluice.pipeline.loading import Loading
from sluice.pipeline.planning import Planning
from sluice.pipeline.validation import Validation

Work = Callable[[Run, Batch, Sequence[Any]], Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The work of a run, each part with what it needs."""

    planning: Planning
    extraction: Extraction
    validation: Validation
    chunking: Chunking
    embedding: Embedding
    loading: Loading
    finishing: Finishing


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of every batch. Its name is also the name of its Airflow task and of its rows in `run_stages`."""

    name: str
    work: Callable[[Pipeline], Work]
    reads: Artefact
    writes: Artefact | None  # None: the stores
    inputs: tuple[str, ...] = ()  # lineage datasets that it reads beside the artefact
    # Lineage datasets that it writes beside the artefact, each with the stage's count that gives its number of rows.
    outputs: tuple[tuple[str, str], ...] = ()


EXTRACT = Stage(
    "extract",
    lambda pipeline: pipeline.extraction.extract,
    artefacts.SCANNED,
    artefacts.EXTRACTED,
    inputs=("source", "documents"),
)
VALIDATE = Stage("validate", lambda pipeline: pipeline.validation.validate, artefacts.EXTRACTED, artefacts.VALIDATED)
CHUNK = Stage("chunk", lambda pipeline: pipeline.chunking.chunk, artefacts.VALIDATED, artefacts.CHUNKED)
EMBED = Stage(
    "embed",
    lambda pipeline: pipeline.embedding.embed,
    artefacts.CHUNKED,
    artefacts.EMBEDDED,
    outputs=(("embeddings", "computed"),),
)
LOAD = Stage(
    "load",
    lambda pipeline: pipeline.loading.load_in_task,
    artefacts.EMBEDDED,
    None,
    inputs=("embeddings",),
    outputs=(("versions", "documents"), ("chunks", "written"), ("points", "written"), ("graph", "")),
)
STAGES = (EXTRACT, VALIDATE, CHUNK, EMBED, LOAD)
BY_NAME = {stage.name: stage for stage in STAGES}
