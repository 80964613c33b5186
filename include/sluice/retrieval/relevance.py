"""Whether any passage of a result is relevant to the question."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sluice.model.passage import Passage

LEAST_CHECKED = 2  # passages that decide about relevance: the best of each retriever is mostly among the first two
# The highest cosine similarities of passages to questions of invented words, rounded up: measured on README files and
# docs with ten such questions (minilm .35 of 1,018 passages, wordllama .39 of 506), bge-small on cranfield (.685 of
# 1,800). `hash` compares spellings, not meanings.
RELEVANCE_FLOORS = {"minilm": 0.40, "bge-small": 0.70, "wordllama": 0.45, "hash": 2.0}


def is_relevant(passages: Sequence[Passage], question: str, terms: Callable[[str], set[int]], embedder: str) -> bool:
    """Returns whether a passage has a term of the question (`terms`: text → its terms), or is more similar to it than
    passages are to invented words (`RELEVANCE_FLOORS`).

    `passages`: those that the caller may read, with their scores. With an embedder that was not measured, or without
    the dense retriever, any passage is relevant.
    """
    near = [each.scores["dense"] for each in passages if "dense" in each.scores]
    floor = RELEVANCE_FLOORS.get(embedder.partition(":")[0])
    if floor is None or not near:
        return bool(passages)
    wanted = terms(question)
    if any(not wanted.isdisjoint(terms("\n".join((each.title, *each.headings, each.text)))) for each in passages):
        return True
    return max(near) >= floor
