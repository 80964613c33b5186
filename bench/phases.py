"""Runs one variant of the ingest through its phases, in a separate process so that its peak memory can be measured.

    python -m bench.phases --corpus FOLDER --collection NAME    prints one JSON line per phase

The phases are those of the peer: cold, warm (nothing changed), edit (a paragraph appended to one file in eight), shape
(one file deleted, one renamed, one added). A warm-up of two files loads imports and models and is not counted.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from sluice.model.source import SourceSpec
from sluice.pipeline.requests import IngestRequest
from sluice.settings import Settings
from sluice.wiring.application import Sluice

# Text for each library of the gates, because a library is imported when a text first needs it.
_WARM_UP = (
    "A short text by Ada Lovelace in London. Write to ada@example.org, call +44 20 7946 0958, pay to "
    "GB82 WEST 1234 5698 7654 32 or with 4111 1111 1111 1111, from 192.0.2.7; SSN 536-90-4399."
)


def fill(folder: Path, corpus: Path) -> None:
    """Writes the input of the peer: each document of a corpus.jsonl as one Markdown file with title and text."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with corpus.open() as lines:
        for line in lines:
            document = json.loads(line)
            text = f"{document['title'].strip()}\n\n{document['text'].strip()}\n"
            (folder / f"{int(document['_id']):04d}.md").write_text(text)


def edit(folder: Path) -> None:
    for path in sorted(folder.glob("*.md"))[::8]:
        path.write_text(path.read_text() + "\nedited zzmarker paragraph appended.\n")


def reshape(folder: Path) -> None:
    files = sorted(folder.glob("*.md"))
    files[5].unlink()
    files[6].rename(files[6].with_name("renamed.md"))
    (folder / "added.md").write_text("brand new qqmarker document about boundary layers\n")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--collection", required=True)
    asked = parser.parse_args()
    fill(asked.folder, asked.corpus)
    warm_up = asked.folder.with_name("warm-up")
    warm_up.mkdir(exist_ok=True)
    for name in ("one", "two"):
        (warm_up / f"{name}.md").write_text(f"# {name}\n\n{_WARM_UP}\n")
    sluice = Sluice(Settings())
    sluice.ingestion.ingest(IngestRequest(SourceSpec(warm_up.as_uri(), f"{asked.collection}-warm-up"), "full"))
    # A new tenant: embeddings are cached by tenant, and a cold run must not find cached ones.
    spec = SourceSpec(asked.folder.as_uri(), asked.collection, tenant=asked.collection)
    phases: list[tuple[str, Callable[[Path], None] | None]] = [
        ("cold", None),
        ("warm", None),
        ("edit", edit),
        ("shape", reshape),
    ]
    for phase, change in phases:
        if change:
            change(asked.folder)
        began_s = time.perf_counter()
        summary = sluice.ingestion.ingest(IngestRequest(spec))
        figures = {
            "phase": phase,
            "s": round(time.perf_counter() - began_s, 3),
            "embedded": summary.embeddings.computed,
            "written": summary.chunks.written,
            "points": summary.chunks.total,
            "stages": summary.stages,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        }
        print(json.dumps(figures), flush=True)
    sluice.close()


if __name__ == "__main__":
    main()
