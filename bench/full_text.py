"""Full text in the ledger by size of the collection: `python -m bench.full_text CHUNKS …` prints a line for each.

Chunks have 55 words, questions 3 to 8; words are as frequent as in texts (bench.scaling). Nothing of a chunk but its
terms is real.
"""

from __future__ import annotations

import os
import sys
import time
from uuid import uuid4, uuid5

import numpy as np

from bench import command
from bench.outages import engines
from sluice.model.chunk import SparseVector
from sluice.model.generation import Profile
from sluice.model.points import EncryptedChunk, EncryptedVersion
from sluice.model.run import Run
from sluice.model.scan import ListingEntry, WorkItem
from sluice.model.search import VectorQuery
from sluice.model.source import Source, SourceSpec
from sluice.settings import Settings
from sluice.wiring.application import Sluice

_WORDS, _WORDS_A_CHUNK, _CHUNKS_A_DOCUMENT, _AT_ONCE = 36_000, 55, 20, 250
_QUESTIONS, _LIMIT = 300, 100
_FREQUENT = np.cumsum(1 / (np.arange(_WORDS) + 20.0))


def main() -> None:
    with engines() as (stack, _):
        os.environ.update(stack.environment())
        command.sluice({**os.environ}, "migrate")
        sluice = Sluice(Settings())
        for count in map(int, sys.argv[1:]):
            print(measure(sluice, count), flush=True)
        sluice.close()


def measure(sluice: Sluice, chunks: int) -> dict[str, float]:
    spec = SourceSpec(f"file:///bench/{chunks}", f"bench{chunks}")
    source = sluice.ledger.sources.open(spec, Profile("chars:600:0", "hash:64", "off", 64), ())
    run = sluice.ledger.runs.start(source, "full", uuid4())
    chance = np.random.default_rng(7)
    names = [f"{number}" for number in range(chunks // _CHUNKS_A_DOCUMENT)]
    load_s = 0.0
    for start in range(0, len(names), _AT_ONCE):
        entries = [ListingEntry(name, f"file:///{name}", "1", 1) for name in names[start : start + _AT_ONCE]]
        versions = [_version(run, item, chance) for item in sluice.ledger.scans.record(run, entries).items]
        began_s = time.perf_counter()
        sluice.ledger.versions.stage(run, versions)
        sluice.ledger.versions.activate(run, [each.document_id for each in versions])
        load_s += time.perf_counter() - began_s
    took_ms = [_asked(sluice, source, chance) for _ in range(_QUESTIONS)][10:]  # the first one reads the sample
    p50, p95 = np.percentile(took_ms, [50, 95])
    return {
        "chunks": chunks,
        "ledger_ms_a_chunk": round(load_s * 1000 / chunks, 3),
        "p50_ms": round(float(p50), 1),
        "p95_ms": round(float(p95), 1),
    }


def _asked(sluice: Sluice, source: Source, chance: np.random.Generator) -> float:
    query = VectorQuery(None, _terms(chance, int(chance.integers(3, 9))), "default", (source.source_id,), {}, _LIMIT)
    began_s = time.perf_counter()
    sluice.ledger.full_text.search(source.generation, query)
    return (time.perf_counter() - began_s) * 1000


def _version(run: Run, item: WorkItem, chance: np.random.Generator) -> EncryptedVersion:
    chunks = tuple(
        EncryptedChunk(
            chunk_id=uuid4(),
            ordinal=ordinal,
            start=ordinal,
            end=ordinal + 1,
            page=None,
            text_hash=uuid4().bytes.ljust(20),
            sealed_text=b"",
            sealed_headings=b"",
            sealed_names=b"",
            mentions=(),
            terms=_terms(chance, _WORDS_A_CHUNK),
        )
        for ordinal in range(_CHUNKS_A_DOCUMENT)
    )
    version_id = uuid5(run.run_id, str(item.document_id))
    return EncryptedVersion(version_id, item.document_id, "1", b"raw", "text/plain", 1, b"", b"", b"", chunks)


def _terms(chance: np.random.Generator, count: int) -> SparseVector:
    words = np.unique(np.searchsorted(_FREQUENT, chance.random(count) * _FREQUENT[-1])).astype(np.uint32)
    # As spread as hashes are; the multiplier is odd, so that no two words get the same number.
    hashes = words * np.uint32(2654435761)
    return SparseVector(hashes, np.linspace(0.5, 1.5, len(words), dtype=np.float32))


if __name__ == "__main__":
    main()
