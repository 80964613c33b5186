"""Full text over keyed terms in the ledger: the same as BM25 in the index, for what the caller may read."""

from __future__ import annotations

import random
from uuid import UUID

import numpy as np
import pytest

from sluice.adapters.postgres import full_text
from sluice.model.chunk import SparseVector
from sluice.model.generation import Generation
from sluice.model.points import Point
from sluice.model.search import VectorQuery
from sluice.model.source import Source
from sluice.testing.vectors import MemoryVectors
from support.ledger_rows import (
    LedgerDatabase,
    chunk_id,
    entry,
    loaded,
    name,
    opened,
    scanned,
    spec,
    started,
    terms_of,
    version,
)

WORDS = [f"word{number}" for number in range(60)]


def query(source: Source, words: str, *others: Source, limit: int = 100) -> VectorQuery:
    sources = tuple(each.source_id for each in (source, *others))
    return VectorQuery(None, terms_of(words), source.spec.tenant, sources, {}, limit)


def hits(db: LedgerDatabase, source: Source, words: str, limit: int = 100) -> dict[UUID, float]:
    result = db.ledger.full_text.search(source.generation, query(source, words, limit=limit))
    return {each.chunk_id: each.scores["sparse"] for each in result.candidates}


def filled(db: LedgerDatabase, texts: list[str], source: Source | None = None) -> tuple[Source, list[UUID]]:
    """One document with these chunks."""
    source = source or opened(db)
    run = started(db, source)
    (item,) = scanned(db, run, entry(name()))
    loaded(db, run, item, *texts)
    return source, [chunk_id(item.document_id, words) for words in texts]


def texts(count: int) -> list[str]:
    """Texts in which the n-th word is as frequent as 1 / n."""
    chance = random.Random(7)
    frequent = [1 / (place + 1) for place in range(len(WORDS))]
    return [f"{' '.join(sorted(set(chance.choices(WORDS, frequent, k=12))))} unique{n}" for n in range(count)]


def indexed(source: Source, ids: list[UUID], words: list[str]) -> MemoryVectors:
    vectors, dense = MemoryVectors(), np.zeros(source.generation.profile.dim, np.float32)
    vectors.ensure(source.generation)
    payload = {"tenant": source.spec.tenant, "source_id": str(source.source_id)}
    vectors.upsert(
        source.generation,
        [Point(each, dense, terms_of(text), payload) for each, text in zip(ids, words, strict=True)],
    )
    return vectors


@pytest.mark.parametrize(
    "question", ["word0", "word3 word59", "word0 word1 word2", "unique5 word0", "word1 unknown", "unknown"]
)
def test_scores_are_those_of_the_index(db: LedgerDatabase, question: str) -> None:
    words = texts(150)
    source, ids = filled(db, words)
    wanted = indexed(source, ids, words).search(source.generation, query(source, question, limit=1000))
    found = hits(db, source, question, limit=1000)
    assert found == pytest.approx({each.chunk_id: each.scores["sparse"] for each in wanted}, rel=1e-5)


def test_a_large_collection_is_sampled_and_its_common_words_do_not_hide_a_rare_one(
    db: LedgerDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(full_text, "_SAMPLE", 40)
    monkeypatch.setattr(full_text, "_CANDIDATES", 30)
    words = texts(400)
    source, ids = filled(db, words)
    best = max(hits(db, source, "word0 word1 unique123", limit=5).items(), key=lambda each: each[1])
    assert best[0] == ids[123], "the only chunk with the rare word"
    result = db.ledger.full_text.search(source.generation, query(source, "word0 word1 unique123", limit=5))
    assert len(result.candidates) == 5, "filled up with chunks that have common words"
    assert not result.complete
    both = hits(db, source, "word0 word1", limit=5)
    having = {each for each, text in zip(ids, words, strict=True) if {"word0", "word1"} <= set(text.split())}
    assert both.keys() <= having, "chunks with both common words come first"


def test_only_the_querys_sources_and_generation_are_searched(db: LedgerDatabase) -> None:
    tenant, collection = name(), name()
    one, one_ids = filled(db, ["owl heron"], opened(db, spec(tenant, collection)))
    two, two_ids = filled(db, ["owl wren"], opened(db, spec(tenant, collection)))
    elsewhere, _ = filled(db, ["owl"], opened(db, spec(tenant)))
    assert one.generation == two.generation != elsewhere.generation
    assert hits(db, one, "owl").keys() == {*one_ids}
    both = db.ledger.full_text.search(one.generation, query(one, "owl", two))
    assert {each.chunk_id for each in both.candidates} == {*one_ids, *two_ids}
    nobody = VectorQuery(None, terms_of("owl"), tenant, (), {}, 10)
    assert db.ledger.full_text.search(one.generation, nobody).candidates == []


def test_terms_come_and_go_with_their_chunks(db: LedgerDatabase) -> None:
    source = opened(db)
    run = started(db, source)
    (item,) = scanned(db, run, entry("a"))
    loaded(db, run, item, "owl heron", "wren")
    run = started(db, source)
    (edited,) = scanned(db, run, entry("a", "2"))
    loaded(db, run, edited, "owl plover", "wren")
    assert hits(db, source, "heron") == {}
    assert hits(db, source, "plover").keys() == {chunk_id(item.document_id, "owl plover")}
    db.ledger.versions.remove(run, [item.document_id])
    assert hits(db, source, "owl wren plover") == {}
    assert db.select("SELECT count(*) FROM chunk_terms WHERE source_id = :id", id=source.source_id) == [0]


def test_a_question_has_more_terms_than_are_compared(db: LedgerDatabase) -> None:
    source, ids = filled(db, ["owl heron", "wren"])
    many = " ".join(f"absent{number}" for number in range(300))
    assert hits(db, source, f"{many} owl").keys() <= {ids[0]}
    assert hits(db, source, "") == {}


def without_terms(db: LedgerDatabase, generation: Generation) -> None:
    """As an older release has loaded them."""
    values = {"id": generation.collection_id}
    db.execute("DELETE FROM chunk_terms WHERE collection_id = :id", **values)
    db.execute("UPDATE generations SET terms_complete = false WHERE collection_id = :id", **values)


def test_terms_of_older_chunks_are_added_page_by_page(db: LedgerDatabase) -> None:
    source, ids = filled(db, ["owl heron", "wren", "plover owl"])
    generation, role = source.generation, db.ledger.full_text
    before = hits(db, source, "owl wren")
    assert role.is_complete(generation)
    assert role.lacking(generation, None, 10) == []
    without_terms(db, generation)
    assert not role.search(generation, query(source, "owl")).all_chunks
    (first,) = role.lacking(generation, None, 1)
    assert first == min(ids)
    rest = role.lacking(generation, first, 10)
    assert [first, *rest] == sorted(ids)
    of = dict(zip(ids, map(terms_of, ["owl heron", "wren", "plover owl"]), strict=True))
    assert role.add(generation, {first: of[first]}) == 1
    assert role.add(generation, {first: of[first]}) == 0, "it has them"
    assert not role.set_complete(generation, [])
    assert role.add(generation, of) == 2
    assert role.set_complete(generation, [])
    assert hits(db, source, "owl wren") == before
    assert role.search(generation, query(source, "owl")).all_chunks


def test_a_chunk_that_nobody_can_read_does_not_keep_it_incomplete(db: LedgerDatabase) -> None:
    source, (erased,) = filled(db, ["owl"])
    without_terms(db, source.generation)
    assert db.ledger.full_text.set_complete(source.generation, [erased])


def test_terms_are_not_added_to_chunks_that_are_gone(db: LedgerDatabase) -> None:
    source, _ = filled(db, ["owl"])
    gone = UUID(int=1)
    assert db.ledger.full_text.add(source.generation, {gone: terms_of("owl")}) == 0


def test_a_staged_version_has_terms_before_it_is_active(db: LedgerDatabase) -> None:
    """Hydration decides what is shown; the same chunk of two versions is one candidate."""
    source = opened(db)
    run = started(db, source)
    (item,) = scanned(db, run, entry("a"))
    loaded(db, run, item, "owl heron")
    run = started(db, source)
    (edited,) = scanned(db, run, entry("a", "2"))
    db.ledger.versions.stage(run, [version(run, edited, "owl heron", "owl")])
    ids = [chunk_id(item.document_id, words) for words in ("owl heron", "owl")]
    assert hits(db, source, "owl").keys() == {*ids}


def test_terms_are_stored_apart_for_each_generation(db: LedgerDatabase) -> None:
    one, other = opened(db).generation, opened(db).generation
    vector = SparseVector(np.array([1, 2**32 - 1], np.uint32), np.array([1, 0.5], np.float32))
    assert set(full_text.stored_terms(one, vector)[0]).isdisjoint(full_text.stored_terms(other, vector)[0])
    assert full_text.stored_terms(one, vector)[1] == [1.0, 0.5]
