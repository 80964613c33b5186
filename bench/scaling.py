"""Cost by size of the collection: `python -m bench.scaling FIGURE COUNT …` prints one JSON line.

Each figure runs in a separate process, so that its memory can be measured.

    warm DOCUMENTS        a cold run, for `reread`
    reread DOCUMENTS      the same source again, without changes: time and peak memory
    load CHUNKS           milliseconds per chunk of `load`, as the collection grows
    alone CHUNKS          milliseconds per point of Qdrant's upserts alone, with and without sparse vectors
    overhead DOCUMENTS    a cold run with MiniLM, compared with the bare embedding loop
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.phases import fill
from sluice.model.chunk import SparseVector, Vector
from sluice.model.generation import Generation, Profile
from sluice.model.points import Point
from sluice.model.source import SourceSpec
from sluice.pipeline.requests import IngestRequest
from sluice.ports.content import Embedder, Recognized
from sluice.settings import Settings
from sluice.wiring.application import Sluice
from support.swapping import swapped

WARM_DOCUMENTS = 100_000
FEW_DOCUMENTS = 10_000
LOADED_CHUNKS = 200_000
FIRST_CHUNKS = 10_000  # growth is relative to the cost around this many chunks
EMBEDDED_DOCUMENTS = 600
ROUNDS = 3
_TIMEOUT_S = 3600
_CHUNKS_A_DOCUMENT = 20
_DISTINCT_WORDS = 36_000
_WORDS_A_CHUNK = 55
_WORDS = [f"{first}{last}" for first in ("bar", "con", "del", "fer", "gal", "hum") for last in ("tal", "mer", "nis")]


def measure(environment: dict[str, str], data: Path, work: Path) -> dict[str, Any]:
    plain = {"SLUICE_GRAPH": "off", "SLUICE_EMBEDDER": "hash:64", "SLUICE_CHUNKER": "chars:600:0"}
    graph = {**plain, "SLUICE_GRAPH": "on"}
    minilm = {**plain, "SLUICE_EMBEDDER": "minilm"}
    corpus = data / "retrieval" / "cranfield" / "corpus.jsonl"

    def run(figure: str, count: int, name: str, variables: dict[str, str]) -> dict[str, Any]:
        arguments = [figure, str(count), "--name", name, "--work", str(work), "--corpus", str(corpus)]
        done = subprocess.run(
            [sys.executable, "-m", "bench.scaling", *arguments],
            env={**os.environ, **environment, **variables, "SLUICE_FILE_ROOTS": str(work)},
            stdout=subprocess.PIPE,
            text=True,
            timeout=_TIMEOUT_S,
            check=True,
        )
        result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return result

    figures: dict[str, Any] = {}
    for count in (FEW_DOCUMENTS, WARM_DOCUMENTS):
        name = _name("warm")
        figures[f"warm, {count} documents"] = {**run("warm", count, name, plain), **run("reread", count, name, plain)}
    figures["load, vectors-only"] = run("load", LOADED_CHUNKS, _name("load"), plain)
    figures["load, with graph"] = run("load", LOADED_CHUNKS, _name("load"), graph)
    figures["Qdrant alone"] = run("alone", LOADED_CHUNKS, _name("alone"), plain)
    figures["cold with MiniLM / bare loop"] = run("overhead", EMBEDDED_DOCUMENTS, _name("overhead"), minilm)
    return figures


def _name(figure: str) -> str:
    return f"{figure}-{uuid.uuid4().hex[:8]}"


# --- in the measured process --------------------------------------------------------------------------------


def warm(sluice: Sluice, spec: SourceSpec) -> dict[str, Any]:
    cold_s = _seconds(lambda: sluice.ingestion.ingest(IngestRequest(spec)))
    return {"cold_s": round(cold_s, 2)}


def reread(sluice: Sluice, spec: SourceSpec) -> dict[str, Any]:
    times = []
    for _ in range(ROUNDS):
        began_s = time.perf_counter()
        summary = sluice.ingestion.ingest(IngestRequest(spec))
        times.append(time.perf_counter() - began_s)
        if summary.documents.unchanged != summary.documents.seen:
            raise SystemExit(f"something had changed: {summary}")
    return {"warm_s": round(statistics.median(times), 2), "all_s": [round(each, 2) for each in times], **_peak()}


def load(sluice: Sluice, spec: SourceSpec) -> dict[str, Any]:
    """Returns the cost of the stage `load` for each tenth of the chunks, in milliseconds per chunk."""
    summary = sluice.ingestion.ingest(IngestRequest(spec))
    run = sluice.ledger.runs.get(summary.run_id)
    stats = sorted(
        (each for each in sluice.ledger.runs.stages(run) if each.stage == "load"), key=lambda each: each.batch
    )
    windows: dict[int, list[tuple[float, int]]] = {}
    so_far = 0
    for each in stats:
        windows.setdefault(so_far // FIRST_CHUNKS, []).append((each.seconds, each.counts["written"]))
        so_far += each.counts["written"]
    cost = {
        (number + 1) * FIRST_CHUNKS: sum(seconds for seconds, _ in rows) * 1000 / sum(count for _, count in rows)
        for number, rows in windows.items()
    }
    return {
        "chunks": so_far,
        "ms a chunk": {upto: round(each, 3) for upto, each in cost.items()},
        "growth": _growth(list(cost.values())),
        **_peak(),
    }


def _growth(cost: Sequence[float]) -> float:
    """Median cost of the last three windows, divided by that of the first three. Leaves out the very first window,
    which fills caches and plans."""
    return round(statistics.median(cost[-3:]) / statistics.median(cost[1:4]), 2)


def alone(sluice: Sluice, chunks: int, name: str) -> dict[str, Any]:
    """Returns the milliseconds per point of upserts, for each 10,000 points."""
    figures = {}
    for kind, terms in (("dense only", 1), ("dense and sparse", _WORDS_A_CHUNK)):
        profile = Profile("chars:600:0", "hash:64", "off", 64)
        collection = f"{name}-{terms}"
        generation = Generation(uuid.uuid4(), collection, 1, profile, f"{collection}__g1")
        sluice.vectors.ensure(generation)
        cost = []
        for number in range(chunks // FIRST_CHUNKS):
            points = _points(np.random.default_rng(number), FIRST_CHUNKS, terms, name)
            seconds = _seconds(partial(sluice.vectors.upsert, generation, points))
            cost.append(round(seconds * 1000 / FIRST_CHUNKS, 3))
        figures[kind] = {"ms a point": cost, "growth": _growth(cost)}
    return figures


def _points(chance: np.random.Generator, count: int, terms: int, tenant: str) -> list[Point]:
    """Points with unit vectors, and with words as frequent as in texts: the n-th by 1 / (n + 20) (Mandelbrot 1953)."""
    dense = chance.standard_normal((count, 64)).astype(np.float32)
    dense /= np.linalg.norm(dense, axis=1, keepdims=True)
    upto = np.cumsum(1 / (np.arange(_DISTINCT_WORDS) + 20.0))
    words = np.searchsorted(upto, chance.random((count, terms)) * upto[-1])
    points = []
    for vector, row in zip(dense, words, strict=True):
        indices = np.unique(row).astype(np.uint32)
        sparse = SparseVector(indices, np.linspace(0.5, 1.5, len(indices), dtype=np.float32))
        payload = {"tenant": tenant, "source_id": tenant, "document_id": str(uuid.uuid4()), "meta": {}}
        points.append(Point(uuid.uuid4(), vector, sparse, payload))
    return points


def overhead(sluice: Sluice, documents: int, corpus: Path, folder: Path, name: str) -> dict[str, Any]:
    """Times in turns the embedder alone, with the texts of a cold run as one sorted list, and the whole run."""
    fill(folder, corpus)
    for path in sorted(folder.glob("*.md"))[documents:]:
        path.unlink()
    embedder = sluice.embedder("minilm")
    keeping = _Keeping(embedder)
    bare, cold = [], []
    for turn in range(ROUNDS + 1):  # the first is the warm-up, and collects the texts
        keeping.texts.clear()
        spec = SourceSpec(folder.as_uri(), f"{name}-{turn}", tenant=f"{name}-{turn}")
        cold.append(
            _seconds(
                lambda spec=spec: swapped(sluice, embedder=lambda _: keeping).ingestion.ingest(IngestRequest(spec))
            )
        )
        texts = sorted(keeping.texts, key=len)
        bare.append(_seconds(lambda texts=texts: embedder.embed(texts)))
    ratios = [round(one / other, 3) for one, other in zip(cold[1:], bare[1:], strict=True)]
    return {
        "texts": len(keeping.texts),
        "bare_s": [round(each, 2) for each in bare[1:]],
        "cold_s": [round(each, 2) for each in cold[1:]],
        "ratio": statistics.median(ratios),
        "ratios": ratios,
    }


class _Keeping:
    """An embedder that records the texts that it embeds."""

    def __init__(self, embedder: Embedder) -> None:
        self.name, self.dim, self.at_once, self._embedder = embedder.name, embedder.dim, embedder.at_once, embedder
        self.texts: list[str] = []

    def embed(self, texts: Sequence[str]) -> Vector:
        return self.metered(texts)[0]

    def metered(self, texts: Sequence[str]) -> tuple[Vector, int]:
        self.texts += texts
        return self._embedder.metered(texts)

    def tokens(self, texts: Sequence[str]) -> list[int]:
        return self._embedder.tokens(texts)


class _Words:
    """Returns two entities per chunk, so that the graph has work. Finding them is not measured."""

    name = "words"

    def extract(self, texts: Sequence[str]) -> list[Recognized]:
        return [Recognized([("ORG", word.title(), 1) for word in text.split()[:2]]) for text in texts]


def _corpus(path: Path, documents: int, paragraphs: int) -> None:
    chance = random.Random(7)
    with path.open("w") as file:
        for number in range(documents):
            text = "\n\n".join(_paragraph(chance, number) for _ in range(paragraphs))
            file.write(json.dumps({"_id": f"d{number:06d}", "title": f"Report {number}", "text": text}) + "\n")


def _paragraph(chance: random.Random, number: int) -> str:
    """Returns a text about as long as a chunk."""
    words = " ".join(f"{chance.choice(_WORDS)}{chance.randrange(2000)}" for _ in range(_WORDS_A_CHUNK))
    return f"{chance.choice(_WORDS)}{number % 5000} {words}"


def _seconds(work: Any) -> float:
    began_s = time.perf_counter()
    work()
    return time.perf_counter() - began_s


def _peak() -> dict[str, int]:
    return {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("figure", choices=["warm", "reread", "load", "alone", "overhead"])
    parser.add_argument("count", type=int)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--name", required=True)
    asked = parser.parse_args()
    name = asked.name
    file = asked.work / f"{name}.jsonl"
    sluice = Sluice(Settings())
    if sluice.graph is not None:
        sluice = swapped(sluice, entities=lambda _: _Words())
    spec = SourceSpec(f"jsonl://{file}", name, tenant=name)
    if asked.figure == "warm":
        _corpus(file, asked.count, 1)
        figures = warm(sluice, spec)
    elif asked.figure == "reread":
        figures = reread(sluice, spec)
    elif asked.figure == "load":
        _corpus(file, asked.count // _CHUNKS_A_DOCUMENT, _CHUNKS_A_DOCUMENT)
        figures = load(sluice, spec)
    elif asked.figure == "alone":
        figures = alone(sluice, asked.count, name)
    else:
        figures = overhead(sluice, asked.count, asked.corpus, asked.work / "overhead", name)
    sluice.close()
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
