"""What a search found as JSON: what `POST /search` answers and `sluice search --json` prints."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sluice.model.passage import Passage
from sluice.retrieval.searching import SearchOutcome

_OUTCOME = ("nothing_relevant", "generation", "took_ms", "cached")
_PASSAGE = ("chunk_id", "document_id", "external_id", "title", "text", "score", "uri")
_ORIGIN = ("version", "generation", "run_id")


def search_response(outcome: SearchOutcome, request_id: str = "", explain: bool = False) -> dict[str, Any]:
    """Returns the response as JSON types, except that ids are UUID objects."""
    return {
        "results": [search_result(passage, explain) for passage in outcome.passages],
        "legs": list(outcome.retrievers),
        "degraded": list(outcome.degraded),
        **_named(outcome, _OUTCOME),
        **({"reason": _named(outcome.reason, ("code", "detail"))} if outcome.reason else {}),
        "request_id": request_id,
    }


def search_result(passage: Passage, explain: bool = False) -> dict[str, Any]:
    """Returns one entry of `results`."""
    location = {**_named(passage, ("start", "end", "page")), "headings": list(passage.headings)}
    result = {**_named(passage, _PASSAGE), "location": location, "metadata": dict(passage.metadata)}
    result |= _named(passage, _ORIGIN)
    if passage.similarity is not None:
        result["similarity"] = passage.similarity
    if passage.duplicates:
        result["duplicates"] = [asdict(each) for each in passage.duplicates]
    if passage.context is not None:
        result["context"] = asdict(passage.context)
    if explain:
        result["explain"] = _explanation(passage)
    return result


def _explanation(passage: Passage) -> dict[str, Any]:
    explanation = {"legs": dict(passage.scores), "ranks": dict(passage.ranks)}
    if passage.rerank is not None:
        explanation["rerank"] = passage.rerank
    if passage.path is not None:
        explanation["path"] = asdict(passage.path)
    return {**explanation, **_named(passage, ("generation", "run_id"))}


def _named(value: object, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(value, name) for name in names}
