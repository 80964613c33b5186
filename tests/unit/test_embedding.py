from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from uuid import UUID, uuid5

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from py_rust_stemmers import SnowballStemmer

from sluice import encryption
from sluice.adapters.embedders.hashed import HashEmbedder
from sluice.chunking.chunker import chunk
from sluice.embedding import bm25
from sluice.embedding.account import Unlimited
from sluice.embedding.bm25 import sparse, sparse_query
from sluice.embedding.embedding import EmbedCounts
from sluice.embedding.embedding import embed as embed_with
from sluice.errors import Terminal
from sluice.model.chunk import ChunkedDocument, EmbeddedDocument, Vector
from sluice.model.costs import Spent
from sluice.model.document import Document
from sluice.model.scan import ListingEntry, WorkItem
from sluice.model.words import plain_spelling, words
from sluice.ports.content import Embedder
from sluice.testing.embeddings import MemoryVectorCache

KEY, OTHER = b"i" * 32, b"o" * 32


class CountingEmbedder(HashEmbedder):
    def __init__(self, fail_after: int = 10**9) -> None:
        super().__init__(8)
        self.seen: Counter[str] = Counter()
        self.left = fail_after

    def metered(self, texts: Sequence[str]) -> tuple[Vector, int]:
        self.seen.update(texts)
        self.left -= len(texts)
        if self.left < 0:
            raise ConnectionError("down")
        return super().metered(texts)


def embed(
    documents: Sequence[ChunkedDocument], *, embedder: HashEmbedder, cache: Cache, index_key: bytes
) -> tuple[list[EmbeddedDocument], EmbedCounts]:
    return embed_with(documents, embedder=embedder, dim=8, cache=cache, index_key=index_key, account=Unlimited())


class Cache(MemoryVectorCache):
    lookups = 0

    def cached(self, embedder: str, hashes: Sequence[bytes]) -> dict[bytes, Vector]:
        self.lookups += 1
        return super().cached(embedder, hashes)


def chunked(texts: Sequence[str], title: str = "") -> list[ChunkedDocument]:
    documents = [
        Document(
            WorkItem(uuid5(UUID(int=4), str(n)), ListingEntry(str(n), "", "", 0), True), "text/plain", title, text, b""
        )
        for n, text in enumerate(texts)
    ]
    return chunk(documents, profile="chars:600:0", index_key=KEY)


def test_each_text_is_computed_once_and_never_again() -> None:
    embedder, cache = CountingEmbedder(), Cache()
    documents = chunked(["first text", "second text", "first text", "", "x " * 900])
    embedded, counts = embed(documents, embedder=embedder, cache=cache, index_key=KEY)
    total = sum(len(document.chunks) for document in documents)
    assert counts.computed == len(embedder.seen) == len({c.text_hash for d in documents for c in d.chunks})
    assert counts.computed + counts.cached == total
    assert set(embedder.seen.values()) == {1}
    assert cache.lookups == 1
    assert [document.document for document in embedded] == [document.document for document in documents]
    for document, built in zip(documents, embedded, strict=True):
        assert tuple(each.chunk for each in built.chunks) == document.chunks
        for each in built.chunks:
            np.testing.assert_array_equal(each.dense, HashEmbedder(8).embed([each.chunk.embedded_text])[0])
    again, counts = embed(documents, embedder=embedder, cache=cache, index_key=KEY)
    assert (counts.computed, counts.cached) == (0, total)
    assert sum(embedder.seen.values()) == len(embedder.seen)
    np.testing.assert_array_equal(again[0].chunks[0].dense, embedded[0].chunks[0].dense)


def test_a_crash_keeps_what_was_computed() -> None:
    cache, documents = Cache(), chunked([f"text number {n}" for n in range(1200)])
    with pytest.raises(ConnectionError):
        embed(documents, embedder=CountingEmbedder(fail_after=600), cache=cache, index_key=KEY)
    stored = len(cache.vectors)
    assert 0 < stored < 1200
    _, counts = embed(documents, embedder=CountingEmbedder(), cache=cache, index_key=KEY)
    assert (counts.computed, counts.cached) == (1200 - stored, stored)


class Purse:
    """An account that reaches for so many tokens."""

    def __init__(self, tokens: int) -> None:
        self.left, self.spent = tokens, Spent()

    def affordable(self, texts: Sequence[str], embedder: Embedder) -> int:
        totals = accumulate(embedder.tokens(texts))
        return sum(total <= self.left for total in totals)

    def settle(self, spent: Spent) -> None:
        self.left -= spent.tokens
        self.spent = Spent(self.spent.texts + spent.texts, self.spent.tokens + spent.tokens)


def test_where_the_account_ends_whole_documents_go_on_and_nothing_is_paid_twice() -> None:
    documents = chunked(["one two three", "four five", " ".join(f"w{n}" for n in range(400)), "six", "one two three"])
    embedder, cache = CountingEmbedder(), Cache()

    def at_most(tokens: int) -> tuple[list[int], EmbedCounts, Purse]:
        purse = Purse(tokens)
        built, counts = embed_with(documents, embedder=embedder, dim=8, cache=cache, index_key=KEY, account=purse)
        return (
            [documents.index(ChunkedDocument(e.document, tuple(c.chunk for c in e.chunks))) for e in built],
            counts,
            purse,
        )

    built, counts, purse = at_most(4)
    assert (built, counts.computed, counts.cached, purse.spent) == ([0, 4], 1, 1, Spent(1, 3))
    built, counts, purse = at_most(0)
    assert (built, counts.computed, purse.spent) == ([0, 4], 0, Spent())
    built, counts, purse = at_most(150)  # reaches into the third, which is several chunks
    assert built == [0, 1, 4] and counts.computed > 1 and purse.left >= 0
    built, counts, _ = at_most(10**6)
    assert built == [0, 1, 2, 3, 4]
    assert set(embedder.seen.values()) == {1}


def test_what_was_computed_is_stored_before_it_is_settled() -> None:
    """A crash in between loses a line of the account, never an embedding."""

    class Unsettled(Purse):
        def settle(self, spent: Spent) -> None:
            raise ConnectionError("the ledger is down")

    cache, embedder, documents = Cache(), CountingEmbedder(), chunked(["one two three"])
    with pytest.raises(ConnectionError):
        embed_with(documents, embedder=embedder, dim=8, cache=cache, index_key=KEY, account=Unsettled(100))
    embed_with(documents, embedder=embedder, dim=8, cache=cache, index_key=KEY, account=Purse(100))
    assert set(embedder.seen.values()) == {1}


@pytest.mark.parametrize(
    ("vectors", "said"),
    [
        (np.zeros((2, 8), np.float32), "length 1"),
        (np.full((2, 8), np.nan, np.float32), "finite"),
        (np.full((2, 8), np.inf, np.float32), "finite"),
        (np.ones((1, 8), np.float32), "shape"),
        (np.ones((2, 4), np.float32) / 2, "shape"),
    ],
)
def test_vectors_that_are_none_go_nowhere(vectors: Vector, said: str) -> None:
    class Broken(HashEmbedder):
        def metered(self, texts: Sequence[str]) -> tuple[Vector, int]:
            return vectors, 2

    cache = Cache()
    with pytest.raises(Terminal, match=said):
        embed(chunked(["one", "two"]), embedder=Broken(8), cache=cache, index_key=KEY)
    assert cache.vectors == {}


def test_a_damaged_vector_in_the_cache_is_computed_again() -> None:
    cache, documents = Cache(), chunked(["one", "two", "three"])
    embed(documents, embedder=CountingEmbedder(), cache=cache, index_key=KEY)
    cache.vectors["hash:8", documents[0].chunks[0].text_hash] = np.zeros(8, np.float32)
    cache.vectors["hash:8", documents[1].chunks[0].text_hash] = np.ones(1, np.float32)
    embedded, counts = embed(documents, embedder=CountingEmbedder(), cache=cache, index_key=KEY)
    assert (counts.computed, counts.cached) == (2, 1)
    assert all(np.linalg.norm(each.chunks[0].dense) == pytest.approx(1) for each in embedded)
    _, counts = embed(documents, embedder=CountingEmbedder(), cache=cache, index_key=KEY)
    assert (counts.computed, counts.cached) == (0, 3), "what took its place is kept"


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf, 0.5])
def test_a_vector_that_no_gate_will_pass_is_never_stored(bad: float) -> None:
    """It goes on to the gate, which keeps out the document of that text alone."""

    class Confused(CountingEmbedder):
        def metered(self, texts: Sequence[str]) -> tuple[Vector, int]:
            vectors, tokens = super().metered(texts)
            return np.where([[text == "two"] for text in texts], np.float32(bad), vectors), tokens

    cache, documents = Cache(), chunked(["one", "two", "three"])
    embedded, counts = embed(documents, embedder=Confused(), cache=cache, index_key=KEY)
    assert (len(embedded), counts.computed, len(cache.vectors)) == (3, 3, 2)
    _, counts = embed(documents, embedder=CountingEmbedder(), cache=cache, index_key=KEY)
    assert (counts.computed, counts.cached) == (1, 2)


def test_weights_are_those_of_bm25() -> None:
    (vector,) = sparse(["Wings of wings: the wing flaps"], KEY)
    weights = dict(zip(vector.indices.tolist(), vector.values.tolist(), strict=True))
    length_part = 1.2 * (1 - 0.75 + 0.75 * 4 / bm25.AVG_TERMS)
    assert weights == {
        encryption.token_hash(KEY, "wing"): pytest.approx(3 * 2.2 / (3 + length_part)),
        encryption.token_hash(KEY, "flap"): pytest.approx(2.2 / (1 + length_part)),
    }
    query = sparse_query("the WING, the wings?", KEY)
    assert (query.indices.tolist(), query.values.tolist()) == ([encryption.token_hash(KEY, "wing")], [1.0])


def test_the_title_counts_for_every_chunk() -> None:
    documents = chunked(["Valve types are many. " + "Other words follow here. " * 60], title="Valve")
    embedded, _ = embed(documents, embedder=CountingEmbedder(), cache=Cache(), index_key=KEY)
    term = encryption.token_hash(KEY, "valv")
    assert len(embedded[0].chunks) > 2
    for each in embedded[0].chunks:
        assert term in each.sparse.indices
    (plain,) = sparse([embedded[0].chunks[0].chunk.embedded_text], KEY)
    first = embedded[0].chunks[0].sparse
    assert first.values[first.indices == term] > plain.values[plain.indices == term]


def test_tenants_cannot_compare_terms() -> None:
    (ours,), (theirs,) = sparse(["alpha beta gamma"], KEY), sparse(["alpha beta gamma"], OTHER)
    assert not set(ours.indices.tolist()) & set(theirs.indices.tolist())


def test_other_languages_have_terms_too() -> None:
    assert words("Straße ＡＢＣ naïve İstanbul") == ["strasse", "abc", "naïve", "i̇stanbul"]
    assert words("漢字仮名とGX v2") == ["漢字", "字仮", "仮名", "名と", "gx", "v2"]
    assert words("水") == ["水"]
    question, text = sparse_query("向量数据库", KEY), sparse(["这是一个向量数据库。"], KEY)[0]
    assert set(question.indices.tolist()) <= set(text.indices.tolist())


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("Donau\u00addampf\u00adschiff", "Donaudampfschiff"),
        ("Donaudampfschiff", "Donau\u00addampfschiff"),
        ("over\u200bflowing", "overflowing"),
        ("\ufeffbegin", "begin"),
        ("می\u200cخواهم", "میخواهم"),
        ("co\u2060operate \u202eright", "cooperate"),
        ("İzmir şehri", "izmir"),
        ("İzmir şehri", "IZMIR"),
        ("izmir", "İZMİR"),
        ("ılık", "ILIK"),
        ("résumé", "resume"),
        ("re\u0301sume\u0301", "résumé"),
        ("resume", "résumé"),
        ("Łódź smørrebrød", "lodz"),
        ("Łódź smørrebrød", "smorrebrod"),
        ("Ἀθῆναι και Αθήνα", "αθηνα"),
        ("ёлка", "елка"),
        ("naïvetés", "naivete"),
    ],
)
def test_a_word_is_found_however_it_is_spelled(text: str, query: str) -> None:
    (vector,), asked = sparse([text], KEY), sparse_query(query, KEY)
    assert set(vector.indices.tolist()) & set(asked.indices.tolist())


def score(text: str, query: str) -> float:
    """Without IDF."""
    (vector,), asked = sparse([text], KEY), sparse_query(query, KEY)
    weights = dict(zip(asked.indices.tolist(), asked.values.tolist(), strict=True))
    return float(sum(weights.get(index, 0) * value for index, value in zip(vector.indices, vector.values, strict=True)))


@pytest.mark.parametrize("plain", ["resume", "cafe", "lodz", "izmir"])
def test_the_same_spelling_counts_for_more(plain: str) -> None:
    accented = {"resume": "résumé", "cafe": "café", "lodz": "łódź", "izmir": "İzmir"}[plain]
    assert score(plain, plain) > score(accented, plain) > 0
    assert score(accented, accented) > score(plain, accented) > 0


@pytest.mark.parametrize(("text", "other"), [("が", "か"), ("हिन्दी", "हन्द"), ("ป่า", "ปา"), ("각", "가")])
def test_marks_of_other_scripts_are_letters(text: str, other: str) -> None:
    assert plain_spelling(text) == text != plain_spelling(other)


def test_points_of_earlier_releases_are_found() -> None:
    """Their terms are those of the exact spelling, for which the hash has not changed."""
    for word in ("naïve", "résumé", "i̇zmir", "straße", "owls"):
        term = encryption.token_hash(KEY, SnowballStemmer("english").stem_word(word.casefold()))
        assert term in sparse_query(word, KEY).indices


def test_accents_make_a_text_no_longer() -> None:
    (accented,), (plain,) = sparse(["été déjà vu"], KEY), sparse(["ete deja vu"], KEY)
    vu = encryption.token_hash(KEY, "vu")
    assert accented.values[accented.indices == vu] == plain.values[plain.indices == vu]


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=200))
def test_any_text_has_a_valid_vector(text: str) -> None:
    (vector,) = sparse([text], KEY)
    assert vector.indices.dtype == np.uint32
    assert vector.values.dtype == np.float32
    assert (np.diff(vector.indices.astype(np.int64)) > 0).all()
    assert ((vector.values > 0) & (vector.values < 2.2)).all()
    assert set(sparse_query(text, KEY).indices.tolist()) == set(vector.indices.tolist())
