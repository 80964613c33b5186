"""The gates on chunks and vectors: what is right passes, and each thing that is wrong is found by its own check."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from uuid import UUID, uuid5

import numpy as np
import pytest

from sluice.chunking.chunker import chunk, size_shares
from sluice.embedding.bm25 import sparse
from sluice.model.chunk import Chunk, ChunkedDocument, EmbeddedChunk, EmbeddedDocument, SparseVector
from sluice.model.document import Document
from sluice.model.gates import GateRule
from sluice.model.scan import ListingEntry, WorkItem
from sluice.quality.checks import SUITES
from sluice.quality.gates import chunks_gate, suspect_vectors, vectors_gate

KEY, PROFILE, DIM = bytes(32), "chars:100:20", 8
TEXT = "# Owls\n\n" + "The barn owl hunts voles above wet meadows at dusk. " * 6


def chunked(name: str, text: str = TEXT) -> ChunkedDocument:
    item = WorkItem(uuid5(UUID(int=3), name), ListingEntry(name, f"file:///{name}", "f", len(text)), new=True)
    document = Document(item, "text/markdown", "Owls", text, b"")
    return chunk([document], profile=PROFILE, index_key=KEY)[0]


def embedded(each: ChunkedDocument) -> EmbeddedDocument:
    terms = sparse([one.embedded_text for one in each.chunks], KEY)
    vectors = np.random.default_rng(each.document.document_id.int % 2**32).normal(size=(len(each.chunks), DIM))
    dense = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return EmbeddedDocument(each.document, tuple(map(EmbeddedChunk, each.chunks, dense, terms)))


def checked(*documents: ChunkedDocument) -> tuple[list[str], list[tuple[object, object]]]:
    verdict = chunks_gate(documents, size_shares(documents, profile=PROFILE))
    stored = {each.document.document_id for each in verdict.passed} | {
        each.item.document_id for each in verdict.failures
    }
    assert stored == {each.document.document_id for each in documents}, "nothing is lost between passed and refused"
    return [failure.code for failure in verdict.failures], [(row.code, row.ordinal) for row in verdict.rows]


# --- chunks


def test_what_the_chunker_makes_passes() -> None:
    documents = [chunked("a"), chunked("b", "漢字仮名交じり文。" * 80), chunked("c", "short"), chunked("d", " \n ")]
    verdict = chunks_gate(documents, size_shares(documents, profile=PROFILE))
    assert (verdict.passed, verdict.failures, verdict.rows) == (documents, [], [])
    assert [(each.suite, each.success) for each in verdict.results] == [("chunks", True)] * len(SUITES["chunks"])
    chunks = sum(len(each.chunks) for each in documents)
    evaluated = {each.observed["code"]: each.evaluated for each in verdict.results}
    assert (evaluated["blank_chunk"], evaluated["lost_text"]) == (chunks, len(documents))


WRONG: dict[str, tuple[Callable[[Chunk], Chunk], int | None]] = {
    "blank_chunk": (lambda one: replace(one, text=" ", start=7, end=8), 1),
    "wrong_offsets": (lambda one: replace(one, start=one.start + 1), 1),
    "wrong_order": (lambda one: replace(one, ordinal=5), 1),
    "duplicate_chunk": (lambda one: replace(one, chunk_id=chunked("a").chunks[0].chunk_id), 0),
}


@pytest.mark.parametrize("code", WRONG)
def test_each_wrong_chunk_keeps_its_document_out_and_no_other(code: str) -> None:
    spoil, ordinal = WRONG[code]
    right, wrong = chunked("b"), chunked("a")
    parts = list(wrong.chunks)
    parts[1] = spoil(parts[1])
    failures, rows = checked(right, replace(wrong, chunks=tuple(parts)))
    assert len(failures) == 1
    assert (code, ordinal) in rows


def test_lost_text_and_long_chunks() -> None:
    whole = chunked("a")
    assert checked(replace(whole, chunks=whole.chunks[:-1]))[0] == ["lost_text"]
    assert checked(replace(whole, chunks=()))[1] == [("lost_text", None)]
    one = Chunk(UUID(int=1), whole.document.document_id, 0, TEXT, "", 0, len(TEXT), None, (), b"")
    assert checked(replace(whole, chunks=(one,))) == (["long_chunk"], [("long_chunk", 0)])
    longer = {("chunks", "long_chunk"): GateRule(limit=10)}
    assert chunks_gate([replace(whole, chunks=(one,))], [len(TEXT) / 100], longer).failures == []


def test_sizes_are_those_of_the_text_that_is_embedded() -> None:
    from sluice.adapters.embedders.minilm import minilm_tokenizer

    tokenizer = minilm_tokenizer()
    item = chunked("a").document.item
    document = Document(item, "text/markdown", "Owls of the meadows", TEXT * 9, b"")
    cut = chunk([document], profile="tokens:64:0", index_key=KEY, tokenizer=tokenizer)
    shares = size_shares(cut, profile="tokens:64:0", tokenizer=tokenizer)
    expected = [len(tokenizer.encode(each.embedded_text).ids) / 64 for each in cut[0].chunks]
    assert shares == expected
    assert 0.7 < max(shares) <= 1


# --- vectors


def test_good_vectors_pass() -> None:
    documents = [embedded(chunked("a")), embedded(chunked("empty", " "))]
    verdict = vectors_gate(documents, DIM)
    assert (verdict.passed, verdict.failures, verdict.rows) == (documents, [], [])
    assert [each.evaluated for each in verdict.results] == [len(documents[0].chunks)] * len(SUITES["vectors"])


def terms(*values: float) -> SparseVector:
    return SparseVector(np.arange(len(values), dtype=np.uint32), np.array(values, np.float32))


BAD_DENSE = {
    "wrong_dimension": np.ones(DIM + 1, np.float32),
    "wrong_length": np.full(DIM, 0.9, np.float32),
    "constant_vector": np.full(DIM, DIM**-0.5, np.float32),
}


@pytest.mark.parametrize("code", BAD_DENSE)
def test_each_bad_vector_keeps_its_document_out(code: str) -> None:
    right, wrong = embedded(chunked("b")), embedded(chunked("a"))
    bad = replace(wrong.chunks[2], dense=BAD_DENSE[code])
    verdict = vectors_gate([right, replace(wrong, chunks=(*wrong.chunks[:2], bad, *wrong.chunks[3:]))], DIM)
    assert verdict.passed == [right]
    assert [failure.code for failure in verdict.failures] == [code]
    assert (code, 2) in [(row.code, row.ordinal) for row in verdict.rows]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_vector_that_is_not_finite_is_of_no_length(value: float) -> None:
    wrong = embedded(chunked("a"))
    dense = wrong.chunks[0].dense.copy()
    dense[3] = value
    bad = replace(wrong, chunks=(replace(wrong.chunks[0], dense=dense), *wrong.chunks[1:]))
    assert [failure.code for failure in vectors_gate([bad], DIM).failures] == ["wrong_length"]


def test_terms_that_are_wrong_block_and_missing_ones_are_told() -> None:
    whole = embedded(chunked("a"))
    for values in ((1.0, 0.0), (1.0, float("nan")), (-1.0,)):
        bad = replace(whole, chunks=(replace(whole.chunks[0], sparse=terms(*values)), *whole.chunks[1:]))
        assert [failure.code for failure in vectors_gate([bad], DIM).failures] == ["wrong_terms"]
    bare = replace(whole, chunks=(replace(whole.chunks[0], sparse=terms()), *whole.chunks[1:]))
    verdict = vectors_gate([bare], DIM)
    assert (verdict.failures, [(row.code, row.ordinal) for row in verdict.rows]) == ([], [("no_terms", 0)])


def test_one_vector_for_different_texts_is_told() -> None:
    whole = embedded(chunked("a"))
    twin = replace(whole.chunks[1], dense=whole.chunks[0].dense)
    verdict = vectors_gate([replace(whole, chunks=(whole.chunks[0], twin, *whole.chunks[2:]))], DIM)
    assert [(row.code, row.ordinal) for row in verdict.rows] == [("same_vector", 0), ("same_vector", 1)]
    assert verdict.failures == []
    strict = {("vectors", "same_vector"): GateRule("block")}
    again = vectors_gate([whole, whole], DIM, strict)
    assert again.failures == [], "the same text may have the same vector"


def one_vector(texts: int, sharing: int, words: int = 10**6) -> list[EmbeddedDocument]:
    """So many documents of one chunk, of which the first few have the same vector; their terms repeat after `words`."""
    built = [embedded(chunked(f"d{number}", "Text.")) for number in range(texts)]
    return [
        replace(
            each,
            chunks=tuple(
                replace(
                    chunk,
                    dense=built[0].chunks[0].dense if number < sharing else chunk.dense,
                    sparse=terms(*[1.0] * (1 + number % words)),
                )
                for chunk in each.chunks
            ),
        )
        for number, each in enumerate(built)
    ]


@pytest.mark.parametrize(
    ("documents", "kept_out"),
    [
        (one_vector(3, 3), 3),
        (one_vector(5, 3), 3),
        (one_vector(100, 10), 10),
        (one_vector(2, 2), 0),  # two may be
        (one_vector(100, 9), 0),
        (one_vector(30, 30, words=2), 0),  # of the same words: some models read no case, accents or punctuation
    ],
)
def test_one_vector_for_most_texts_blocks(documents: list[EmbeddedDocument], kept_out: int) -> None:
    verdict = vectors_gate(documents, DIM)
    assert [failure.code for failure in verdict.failures] == ["shared_vector"] * kept_out
    assert all(failure.retry for failure in verdict.failures), "not the documents' fault: the next run tries again"
    hashes = [each.chunks[0].chunk.text_hash for each in documents]
    assert suspect_vectors(verdict, documents) == hashes[:kept_out]
