"""What a search found as JSON: what `POST /search` answers and `sluice search --json` prints."""

from __future__ import annotations

from typing import Any

from sluice.model.passage import Passage
from sluice.retrieval.searching import SearchOutcome


def search_response(outcome: SearchOutcome, request_id: str = "", explain: bool = False) -> dict[str, Any]:
    """Ids are UUID."""
    return {
        "results": [search_result(passage, explain) for passage in outcome.passages],
        "legs": list(outcome.legs),
        "degraded": list(outcome.degraded),
        "nothing_relevant": outcome.nothing_relevant,
        "generation": outcome.generation,
        "took_ms": outcome.took_ms,
        "request_id": request_id,
        "cached": False,
    }


def search_result(passage: Passage, explain: bool = False) -> dict[str, Any]:
    """One of `results`."""
    result: dict[str, Any] = {
        "chunk_id": passage.chunk_id,
        "document_id": passage.document_id,
        "external_id": passage.external_id,
        "title": passage.title,
        "text": passage.text,
        "score": passage.score,
        "uri": passage.uri,
        "location": {
            "start": passage.start,
            "end": passage.end,
            "page": passage.page,
            "headings": list(passage.headings),
        },
        "metadata": dict(passage.metadata),
        "version": passage.version,
        "generation": passage.generation,
        "run_id": passage.run_id,
    }
    if passage.similarity is not None:
        result["similarity"] = passage.similarity
    if explain:
        result["explain"] = {
            "legs": dict(passage.legs),
            "generation": passage.generation,
            "run_id": passage.run_id,
        }
    return result
