"""Retrieval quality through the API on public judged sets: all retrievers together, without the graph and each vector
retriever alone, against reciprocal ranks; and the other half of the questions with weights learned from one half.

Passages are collapsed to documents, each at the rank of its best passage. `SLUICE_BENCH_EMBEDDER` is the embedder
(minilm), `SLUICE_BENCH_SETS` the names of sets, with commas (all).
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import Any

from bench import command
from demo.server import Server
from sluice.retrieval import judgement_files, metrics
from sluice.retrieval.searching import MAX_QUERY_CHARS, MAX_TOP_K

QRELS = "qrels.tsv"
SETS = {
    "cranfield": "qrels.source_doc_relevant.tsv",
    "hotpotqa_200": QRELS,
    "medline": QRELS,
    "multihoprag_500_facts": QRELS,
    "scifact_train": QRELS,
    "npl_vaswani": QRELS,
    **{f"xquad/{language}": QRELS for language in ("en", "de", "zh", "ar")},
}
EMBEDDER = os.environ.get("SLUICE_BENCH_EMBEDDER", "minilm")
MOST_QUESTIONS = 500  # of a set; every n-th of more
TOP_K = 30
DIVERSITIES = (0.1, 0.3, 0.5)
DIVERSE_SETS = ("cranfield", "hotpotqa_200")  # ad-hoc questions; questions that need two documents
RRF_K = 60  # Cormack, Clarke, Büttcher 2009


def measure(server: Server, environment: dict[str, str], data: Path) -> dict[str, Any]:
    """Ingests each set into a collection of its own and asks its judged questions."""
    figures: dict[str, Any] = {}
    chosen = os.environ.get("SLUICE_BENCH_SETS")
    command.sluice({**os.environ, **environment}, "models", "fetch", EMBEDDER)
    for name in chosen.split(",") if chosen else SETS:
        qrels, folder, collection = SETS[name], data / "retrieval" / name, name.replace("/", "_")
        ingest(collection, folder / "corpus.jsonl", environment)
        judged = judgement_files.read_qrels(folder / qrels)
        texts = judgement_files.read_queries(folder / "queries.jsonl")
        known = [qid for qid in texts if qid in judged]
        asked = {qid: texts[qid] for qid in known[:: ceil(len(known) / MOST_QUESTIONS)]}
        figures[name] = _evaluated(server, collection, asked, judged)
        figures[name]["learned"] = _learned(server, collection, asked, judged, environment)
        print(f"{name}: {json.dumps(figures[name])}", flush=True)
        if name in DIVERSE_SETS:
            figures[name]["diversity"] = _diverse(server, collection, asked, judged)
    return figures


def _evaluated(
    server: Server, collection: str, texts: Mapping[str, str], judged: Mapping[str, Mapping[str, float]]
) -> dict[str, Any]:
    fused: dict[str, list[str]] = {}
    by_ranks: dict[str, list[str]] = {}
    alone: dict[str, dict[str, list[str]]] = {"dense": {}, "sparse": {}}
    unlinked: dict[str, list[str]] = {}
    for qid, text in texts.items():
        question = text[:MAX_QUERY_CHARS]
        fused[qid] = _documents(server.search(question, collection, TOP_K)["results"])
        unlinked[qid] = _documents(server.search(question, collection, TOP_K, list(alone))["results"])
        found = {leg: server.search(question, collection, MAX_TOP_K, [leg])["results"] for leg in alone}
        for leg, results in found.items():
            alone[leg][qid] = _documents(results)
        by_ranks[qid] = _documents(_by_reciprocal_rank(list(found.values())))
    return {
        **metrics.evaluate(fused, judged),
        "against_rrf": metrics.compare(fused, by_ranks, judged),
        "against_no_graph": metrics.compare(fused, unlinked, judged),
        "rrf": metrics.evaluate(by_ranks, judged),
        "no_graph": metrics.evaluate(unlinked, judged),
        "alone": {leg: metrics.evaluate(rankings, judged) for leg, rankings in alone.items()},
    }


def _learned(
    server: Server,
    collection: str,
    texts: Mapping[str, str],
    judged: Mapping[str, Mapping[str, float]],
    environment: dict[str, str],
) -> dict[str, Any]:
    """Returns the weights that are learned from every second question, and metrics of the others with them, against
    the default weights."""
    halves = [dict(list(texts.items())[start::2]) for start in (0, 1)]

    def rankings() -> dict[str, list[str]]:
        return {
            qid: _documents(server.search(text[:MAX_QUERY_CHARS], collection, TOP_K)["results"])
            for qid, text in halves[1].items()
        }

    variables = {**os.environ, **environment}
    default = rankings()
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as golden:
        for qid, text in halves[0].items():
            for name, gain in judged[qid].items():
                row = {"query": text[:MAX_QUERY_CHARS], "query_id": qid, "external_id": name, "gain": gain}
                golden.write(json.dumps(row) + "\n")
        golden.flush()
        command.sluice(variables, "golden", "import", golden.name, "--collection", collection)
    tuned = json.loads(command.sluice(variables, "tune", "--collection", collection, "--json"))
    learned = rankings()
    return {**tuned, **metrics.evaluate(learned, judged), "against_default": metrics.compare(learned, default, judged)}


def _diverse(
    server: Server, collection: str, texts: Mapping[str, str], judged: Mapping[str, Mapping[str, float]]
) -> dict[str, Any]:
    """Returns metrics of the first ten passages by diversity, and the differences to those by relevance alone."""
    rankings = {
        diversity: {
            qid: _documents(server.search(text[:MAX_QUERY_CHARS], collection, 10, diversity=diversity)["results"])
            for qid, text in texts.items()
        }
        for diversity in (0.0, *DIVERSITIES)
    }
    return {
        str(diversity): {
            **metrics.evaluate(ranking, judged),
            "against_0": metrics.compare(ranking, rankings[0.0], judged),
        }
        for diversity, ranking in rankings.items()
    }


def _by_reciprocal_rank(lists: Sequence[Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Returns the results of all lists, fused by reciprocal ranks, which are counted from 0."""
    scores: dict[str, float] = {}
    results: dict[str, dict[str, Any]] = {}
    for each in lists:
        for rank, result in enumerate(each):
            key = result["chunk_id"]
            results[key] = result
            scores[key] = scores.get(key, 0.0) + 1 / (RRF_K + rank)
    return [results[key] for key in sorted(scores, key=lambda key: (-scores[key], key))]


def _documents(results: Sequence[dict[str, Any]]) -> list[str]:
    """Returns the ids of the documents, each at the rank of its best passage; those of near-duplicates follow it."""
    return metrics.collapse(
        [each["external_id"] for each in (result, *result.get("duplicates", ()))] for result in results
    )


def ingest(collection: str, corpus: Path, environment: dict[str, str]) -> None:
    """Ingests by the CLI."""
    settings = {"SLUICE_EMBEDDER": EMBEDDER, "SLUICE_FILE_ROOTS": str(corpus.parent)}
    command.sluice({**os.environ, **environment, **settings}, "ingest", f"jsonl://{corpus}", "--collection", collection)
