"""How near a passage is to a question, and whether anything that was found has to do with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import UUID

from sluice.model.chunk import Vector
from sluice.model.generation import Generation
from sluice.model.passage import Passage
from sluice.ports.projections import VectorIndex

LEAST_JUDGED = 2  # passages by which relevance is judged: the best of each leg is among the first two
# Cosine similarities that passages reach for questions of made-up words, rounded up: measured on README files and docs
# (the highest for ten such questions: minilm .35 of 1,018 passages, wordllama .39 of 506). `hash` compares spellings,
# which says nothing of meaning.
RELEVANCE_FLOORS = {"minilm": 0.40, "wordllama": 0.45, "hash": 2.0}


def similarities(
    vectors: VectorIndex, generation: Generation, question: Vector, chunk_ids: Sequence[UUID]
) -> dict[UUID, float]:
    """Cosine similarity of the question to each passage that the index has; vectors are of length 1. Raises
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
    """Whether a passage has a word of the question (`terms` gives those of a text), or is nearer to it in meaning than
    any is to made-up words; `dense` is the question's vector.

    Judged by passages that the caller may read. An embedder that was not measured counts as near. Raises Unavailable.
    """
    floor = RELEVANCE_FLOORS.get(generation.profile.embedder.partition(":")[0])
    if not passages or floor is None or dense is None:
        return bool(passages)
    asked = terms(question)
    if any(not asked.isdisjoint(terms("\n".join((each.title, *each.headings, each.text)))) for each in passages):
        return True
    near = similarities(vectors, generation, dense, [each.chunk_id for each in passages])
    return max(near.values(), default=-1.0) >= floor
