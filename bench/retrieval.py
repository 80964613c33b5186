"""Retrieval quality through the API: nDCG@10 and more on public judged sets. Passages are collapsed to documents."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from bench import command
from demo.server import Server
from sluice.retrieval import metrics

SETS = {"cranfield": "qrels.source_doc_relevant.tsv", "hotpotqa_200": "qrels.tsv"}
# BM25 + MiniLM fused by RRF (k = 60), one passage a document, as published with the data.
REFERENCE_NDCG = {"cranfield": 0.557, "hotpotqa_200": 0.801}
TOP_K = 30


def measure(server: Server, environment: dict[str, str], data: Path, work: Path) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for name, qrels in SETS.items():
        folder = data / "retrieval" / name
        ingest(name, folder / "corpus.jsonl", environment)
        evaluated = metrics.read_qrels(folder / qrels)
        texts = metrics.read_queries(folder / "queries.jsonl")
        rankings = {
            qid: _documents(server.search(text, name, TOP_K)) for qid, text in texts.items() if qid in evaluated
        }
        figures[name] = {**metrics.evaluate(rankings, evaluated), "reference_ndcg@10": REFERENCE_NDCG[name]}
    return figures


def _documents(answer: dict[str, Any]) -> list[str]:
    """Returns the ids of the documents, each at the rank of its best passage."""
    return list(dict.fromkeys(hit["external_id"] for hit in answer["results"]))


def ingest(collection: str, corpus: Path, environment: dict[str, str]) -> None:
    """Ingests with the default embedder, by the CLI. The graph is not part of this measurement."""
    settings = {"SLUICE_GRAPH": "off", "SLUICE_EMBEDDER": "minilm", "SLUICE_FILE_ROOTS": str(corpus.parent)}
    command.sluice({**os.environ, **environment, **settings}, "ingest", f"jsonl://{corpus}", "--collection", collection)
