"""Similarity of passages to a question, and whether any of the results is relevant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import UUID

from sluice.model.chunk import Vector
from sluice.model.generation import Generation
from sluice.model.passage import Passage
from sluice.ports.projections import VectorIndex

LEAST_CHECKED = 2  # passages that decide about relevance: the best of each retriever is among the first two
# The highest cosine similarities of passages to questions of invented words, rounded up: measured on README files and
# docs with ten such questions (minilm .35 of 1,018 passages, wordllama .39 of 506). `hash` compares spellings, not
# meanings.
RELEVANCE_FLOORS = {"minilm": 0.40, "wordllama": 0.45, "hash": 2.0}


def similarities(
    vectors: VectorIndex, generation: Generation, question: Vector, chunk_ids: Sequence[UUID]
) -> dict[UUID, float]:
    """Returns the cosine similarity of the question to each passage in the index; vectors are of length 1. Raises
    Unavailable."""
    if not chunk_ids:
        return {}
    points = vectors.points_of(generation, chunk_ids, vectors=True)
    return {each.chunk_id: float(each.dense @ question) for each in points if each.dense is not None}


def is_relevant(
    passages: Sequence[Passage],
    question: str,
    terms: Callable[[str], set[int]],
    vectors: VectorIndex,
    generation: Generation,
    dense: Vector | None,
) -> bool:
    """Returns whether a passage has a term of the question (`terms`: text → its terms), or is more similar to it than
    passages are to invented words (`RELEVANCE_FLOORS`). `dense` is the question's vector.

    `passages`: those that the caller may read. With an embedder that was not measured, any passage is relevant. Raises
    Unavailable.
    """
    floor = RELEVANCE_FLOORS.get(generation.profile.embedder.partition(":")[0])
    if not passages or floor is None or dense is None:
        return bool(passages)
    wanted = terms(question)
    if any(not wanted.isdisjoint(terms("\n".join((each.title, *each.headings, each.text)))) for each in passages):
        return True
    near = similarities(vectors, generation, dense, [each.chunk_id for each in passages])
    return max(near.values(), default=-1.0) >= floor
