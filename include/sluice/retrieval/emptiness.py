"""Why a search has no results."""

from __future__ import annotations

from sluice.model.search import EmptyReason, SearchRequest


def contradictory(why: str) -> EmptyReason:
    """Returns the reason of a search whose filters no document can satisfy."""
    return EmptyReason("filters_contradict", f"No document can satisfy the filters: {why}.")


def empty_reason(request: SearchRequest, retrievers: tuple[str, ...]) -> EmptyReason:
    """Returns why nothing was found. `retrievers`: those that could be used with this question. The reason is the same
    whether no passage exists or the caller may not read it."""
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
