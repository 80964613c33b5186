"""Why a search has no results."""

from __future__ import annotations

from sluice.model.search import Degradation, EmptyReason, Retriever, SearchRequest


def contradictory(why: str) -> EmptyReason:
    """Returns the reason of a search whose filters no document can satisfy."""
    return EmptyReason("filters_contradict", f"No document can satisfy the filters: {why}.")


def empty_reason(
    request: SearchRequest, retrievers: tuple[Retriever, ...], degraded: tuple[Degradation, ...]
) -> EmptyReason:
    """Returns why nothing was found. `retrievers`: those of the index that could be used with this question.
    `degraded`: what was lost. The reason is the same whether no passage exists or the caller may not read it."""
    if request.retrievers == ("graph",):
        return _no_link(request, lost="graph" in degraded)
    if not retrievers:
        return EmptyReason(
            "no_terms",
            "The question has no word to search for, only stop words or signs, and legs has only sparse. Use other "
            "words, or add dense to legs.",
        )
    missed = [
        *(["contains a word of the question"] if "dense" not in retrievers else []),
        *([f"reaches the similarity {request.min_score:g} (min_score)"] if request.min_score is not None else []),
        *([f"satisfies the filters on {', '.join(request.filters)}"] if request.filters else []),
    ]
    if not missed:
        return EmptyReason("no_match", "The collection has no passage that you may read now.")
    by_filters = "filters_match_nothing" if request.filters else "no_match"
    code = by_filters if request.min_score is None else "below_min_score"
    return EmptyReason(code, f"No passage that you may read {' and '.join(missed)}.")


def _no_link(request: SearchRequest, *, lost: bool) -> EmptyReason:
    if lost:
        why = "The graph did not answer in time, so no links were followed. Try again, or add dense or sparse to legs."
        return EmptyReason("no_link", why)
    filtered = f" and that satisfies the filters on {', '.join(request.filters)}" if request.filters else ""
    return EmptyReason(
        "no_link",
        "No link leads from the question, or from the passages that match it best, to a passage that you may read"
        f"{filtered}. Add dense or sparse to legs.",
    )
