"""What a search may show, and what it does where the index proposes what the ledger refuses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, get_args
from uuid import NAMESPACE_URL, UUID, uuid5

import numpy as np
import pytest

from sluice.adapters.embedders.hashed import HashEmbedder
from sluice.api.schemas import SearchAnswer
from sluice.embedding.bm25 import sparse_query
from sluice.encryption import Cipher, new_key
from sluice.errors import BadRequest, NotFound, Terminal, Unavailable
from sluice.model.catalog import Live
from sluice.model.chunk import SparseVector, Vector
from sluice.model.filters import AnyOf, Between, Condition, parse_filters
from sluice.model.generation import Generation, Profile
from sluice.model.grants import Principal
from sluice.model.points import Point
from sluice.model.search import (
    DEGRADATIONS,
    Candidate,
    Degradation,
    FullTextHits,
    Hydrated,
    SearchRequest,
    VectorQuery,
)
from sluice.resilience import deadline
from sluice.retrieval.filling import MAX_CANDIDATES
from sluice.retrieval.query_vectors import QueryVectors
from sluice.retrieval.search_json import search_response
from sluice.retrieval.search_ports import SearchPorts
from sluice.retrieval.searching import SearchOutcome, search
from sluice.testing.vectors import MemoryVectors

RUN = uuid5(NAMESPACE_URL, "run")
SOURCE = uuid5(NAMESPACE_URL, "source")
GENERATION = Generation(
    uuid5(NAMESPACE_URL, "collection"),
    "docs",
    3,
    Profile("chars:100:0", "hash:4", "off", 4),
    "docs__g3",
    ("language", "year"),
)
READER = Principal("ann", "acme", frozenset({"*"}))


def chunk_id(number: int) -> UUID:
    return uuid5(NAMESPACE_URL, f"chunk {number}")


def document_id(number: int) -> UUID:
    return uuid5(NAMESPACE_URL, f"document {number}")


@dataclass
class World:
    """`size` chunks, number 0 the best; the ledger refuses `hidden`, the keyring has lost `erased`."""

    size: int
    hidden: set[int] = field(default_factory=set)
    erased: set[int] = field(default_factory=set)
    altered: set[int] = field(default_factory=set)
    sources: tuple[UUID, ...] = (SOURCE,)
    scores: dict[int, dict[str, float]] = field(default_factory=dict)
    text: str = "passage"
    metadata: dict[str, Any] = field(default_factory=dict)
    own_metadata: dict[int, dict[str, Any]] = field(default_factory=dict)
    down: str = ""
    limits: list[int] = field(default_factory=list)
    hydrations: list[int] = field(default_factory=list)
    queries: list[VectorQuery] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.numbers = {chunk_id(number): number for number in range(self.size)}
        self.keys = {document_id(number): new_key() for number in range(self.size)}

    def _check(self, store: str) -> None:
        if self.down == store:
            raise Unavailable(store, "no answer within 5 s")

    # Catalog
    def live(self, collection: str, principal: Principal) -> Live:
        self._check("ledger")
        if collection != "docs" or principal.tenant != "acme":
            raise NotFound("no such collection")
        return Live(GENERATION, self.sources, "epoch", datetime.now(UTC), None)

    def hydrate(self, generation: Generation, chunk_ids: list[UUID], principal: Principal) -> list[Hydrated]:
        assert generation is GENERATION
        self._check("hydration")
        self.hydrations.append(len(chunk_ids))
        return [self._row(self.numbers[each]) for each in chunk_ids if self.numbers[each] not in self.hidden]

    def _row(self, number: int) -> Hydrated:
        cipher = Cipher(self.keys[document_id(number)], "acme", document_id(number))
        place = chunk_id(self.size if number in self.altered else number)  # altered: another chunk's text
        return Hydrated(
            chunk_id=chunk_id(number),
            document_id=document_id(number),
            external_id=f"{number}.md",
            uri=f"file:///docs/{number}.md",
            version=2,
            generation=3,
            run_id=RUN,
            start=10,
            end=20,
            page=None,
            mime="text/markdown",
            sealed_text=cipher.encrypt_text("chunk", f"{self.text} {number}", place),
            sealed_headings=cipher.encrypt_json("headings", ["Top", "Below"], chunk_id(number)),
            sealed_title=cipher.encrypt_text("title", f"Title {number}"),
            sealed_metadata=cipher.encrypt_json("metadata", self.own_metadata.get(number, self.metadata)),
        )

    # Keyring
    def get(self, document_ids: list[UUID]) -> dict[UUID, bytes]:
        self._check("keys")
        erased = {document_id(number) for number in self.erased}
        return {each: self.keys[each] for each in document_ids if each not in erased}

    def index_key(self, tenant: str) -> bytes:
        self._check("keys")
        return tenant.encode().ljust(32)

    # VectorIndex
    def search(self, generation: Generation, query: VectorQuery) -> list[Candidate]:
        self._check("qdrant")
        self.limits.append(query.limit)
        self.queries.append(query)
        numbers = range(min(self.size, query.limit))
        return [Candidate(chunk_id(n), self._scores(n, query)) for n in numbers]

    def _scores(self, number: int, query: VectorQuery) -> dict[str, float]:
        scores = self.scores.get(number) or dict.fromkeys(query.retrievers, 1 - number / (self.size + 1))
        return {name: score for name, score in scores.items() if name in query.retrievers}

    def ports(self) -> SearchPorts:
        fake: Any = self
        return SearchPorts(fake, fake, fake, lambda *_: np.ones(4, np.float32), terms, lambda *_: [1])


def terms(question: str, index_key: bytes, languages: Sequence[str]) -> SparseVector:
    words = [] if question == "the of" else question.split()
    return SparseVector(np.arange(len(words), dtype=np.uint32), np.ones(len(words), np.float32))


def ask(world: World, principal: Principal = READER, **changes: Any) -> Any:
    request = replace(SearchRequest("what is a passage", "docs", 5), **changes)
    return search(world.ports(), request, principal)


def numbers(outcome: Any) -> list[int]:
    return [int(passage.text.rsplit(" ", 1)[1]) for passage in outcome.passages]


def test_passages_are_opened_and_cited() -> None:
    outcome = ask(World(30, metadata={"year": 2024}))
    assert numbers(outcome) == [0, 1, 2, 3, 4]
    first = outcome.passages[0]
    assert (first.title, first.text, first.headings) == ("Title 0", "passage 0", ("Top", "Below"))
    assert (first.uri, first.start, first.end, first.page) == ("file:///docs/0.md", 10, 20, None)
    assert (first.version, first.generation, first.run_id) == (2, 3, RUN)
    assert first.metadata == {"year": 2024}
    assert outcome.retrievers == ("dense", "sparse")
    assert outcome.degraded == ()
    assert outcome.generation == 3


def test_what_the_ledger_refuses_is_replaced_by_the_next_best() -> None:
    world = World(30, hidden={0, 2, 4})
    assert numbers(ask(world)) == [1, 3, 5, 6, 7]
    assert world.limits == [100]


def test_refill_goes_on_until_enough_are_found() -> None:
    world = World(900, hidden=set(range(500)))
    outcome = ask(world)
    assert numbers(outcome) == [500, 501, 502, 503, 504]
    assert world.limits == [100, 400, 1600]
    assert outcome.degraded == ()


def test_one_passage_is_enough_where_one_was_asked_for() -> None:
    world = World(200, hidden=set(range(1, 200)))
    outcome = ask(world, top_k=1)
    assert (numbers(outcome), outcome.degraded, world.limits) == ([0], (), [100])


def test_refill_stops_when_the_index_has_no_more() -> None:
    world = World(160, hidden=set(range(157)))
    outcome = ask(world)
    assert numbers(outcome) == [157, 158, 159]
    assert outcome.degraded == ()
    assert world.limits == [100, 400]


def test_a_bounded_refill_says_so() -> None:
    world = World(MAX_CANDIDATES + 50, hidden=set(range(MAX_CANDIDATES)))
    outcome = ask(world)
    assert outcome.passages == ()
    assert outcome.degraded == ("refill",)
    assert max(world.limits) == MAX_CANDIDATES


def test_an_answer_comes_from_one_hydration() -> None:
    """Put together from several, a document could be shown in two versions."""
    world = World(40, hidden=set(range(24)))
    assert numbers(ask(world)) == [24, 25, 26, 27, 28]
    assert world.hydrations == [25, 40]


def test_a_document_without_its_key_is_gone() -> None:
    assert numbers(ask(World(30, erased={0, 1}))) == [2, 3, 4, 5, 6]


def test_an_altered_row_is_left_out_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert numbers(ask(World(30, altered={1}))) == [0, 2, 3, 4, 5]
    assert str(chunk_id(1)) in caplog.text


@pytest.mark.parametrize("store", ["ledger", "hydration", "keys", "qdrant"])
def test_a_lost_store_is_never_passed_over(store: str) -> None:
    with pytest.raises(Unavailable):
        ask(World(30, down=store))


def test_no_readable_source_asks_the_index_nothing() -> None:
    world = World(30, sources=())
    assert ask(world).passages == ()
    assert world.limits == []


def test_the_index_is_told_tenant_and_sources() -> None:
    world = World(30)
    ask(world, filters={"language": "en"})
    assert (world.queries[0].tenant, world.queries[0].sources) == ("acme", (SOURCE,))
    assert world.queries[0].filters == {"language": "en"}


def test_another_tenants_collection_does_not_exist() -> None:
    with pytest.raises(NotFound):
        ask(World(30), principal=replace(READER, tenant="other"))


def test_equal_scores_are_ordered_by_id() -> None:
    world = World(8, scores={number: {"dense": 0.5} for number in range(8)})
    result = [passage.chunk_id for passage in ask(world, top_k=8).passages]
    assert result == sorted(chunk_id(number) for number in range(8))


@pytest.mark.parametrize(
    ("retrievers", "question", "served"),
    [
        (("dense",), "a b", ("dense",)),
        (("sparse",), "a b", ("sparse",)),
        (("dense", "sparse"), "the of", ("dense",)),
        (("sparse",), "the of", ()),
    ],
)
def test_retrievers_that_served(retrievers: Any, question: str, served: tuple[str, ...]) -> None:
    world = World(30)
    outcome = ask(world, retrievers=retrievers, query=question)
    assert outcome.retrievers == served
    for query in world.queries:
        assert (query.dense is not None, query.sparse is not None) == ("dense" in served, "sparse" in served)
    assert bool(outcome.passages) == bool(served)


def test_explain_carries_the_retrievers_scores() -> None:
    scores = {0: {"dense": 0.5, "sparse": 7.0}, 1: {"dense": 0.75}}
    by_meaning, by_words = sorted(
        ask(World(2, scores=scores), explain=True).passages, key=lambda each: len(each.scores)
    )
    assert (by_words.scores, by_words.similarity) == ({"dense": 0.5, "sparse": 1 / 60}, 0.5)
    assert (by_meaning.scores, by_meaning.similarity) == ({"dense": 0.75}, 0.75)


@pytest.mark.parametrize(
    "changes",
    [
        {"query": "  "},
        {"query": "x" * 2001},
        {"query": "a\x00b"},
        {"top_k": 0},
        {"top_k": 101},
        {"retrievers": ()},
    ],
)
def test_requests_that_cannot_be(changes: dict[str, Any]) -> None:
    world = World(3)
    with pytest.raises(BadRequest):
        ask(world, **changes)
    assert world.limits == []


def test_an_undeclared_filter_names_the_declared_ones() -> None:
    with pytest.raises(BadRequest, match=r'"author".*language, year'):
        ask(World(3), filters={"author": "x"})


@pytest.mark.parametrize(
    ("wanted", "condition"),
    [
        ("en", AnyOf("year", ("en",))),
        (3, AnyOf("year", (3,))),
        (2.5, AnyOf("year", (2.5,))),
        (True, AnyOf("year", (True,))),
        (["en", "de"], AnyOf("year", ("en", "de"))),
        ([1, 2], AnyOf("year", (1, 2))),
        ({"gte": 2024}, Between("year", {"gte": 2024})),
        ({"gt": 1, "lt": 2.5}, Between("year", {"gt": 1, "lt": 2.5})),
        (
            {"gte": "2026-01-31", "lt": "2027-01-01"},
            Between("year", {"gte": datetime(2026, 1, 31, tzinfo=UTC), "lt": datetime(2027, 1, 1, tzinfo=UTC)}),
        ),
    ],
)
def test_filters_that_can_be(wanted: Any, condition: Condition) -> None:
    assert parse_filters({"year": wanted}, ("year",)) == [condition]


@pytest.mark.parametrize(
    "wanted",
    [
        None,
        {},
        [[1]],
        [{"gte": 1}],
        {"gte": [1]},
        {"around": 3},
        {"gte": 1, "lt": "2026-01-01"},
        {"gte": "soon"},
        {"gte": True},
        float("nan"),
        float("inf"),
        2**63,
        "a\x00b",
        "\ud800",
        "x" * 501,
        list(range(101)),
    ],
)
def test_filters_that_cannot_be(wanted: Any) -> None:
    with pytest.raises(BadRequest, match="year"):
        parse_filters({"year": wanted}, ("year",))


def test_text_that_utf8_cannot_carry_is_replaced_at_the_same_length() -> None:
    world = World(3, text="a\ud800b", metadata={"k\udcff": ["\udc80"]})
    passage = ask(world).passages[0]
    assert passage.text == "a\ufffdb 0"
    assert passage.metadata == {"k\ufffd": ["\ufffd"]}


class CountingEmbedder(HashEmbedder):
    def __init__(self) -> None:
        super().__init__(4)
        self.asked: list[str] = []

    def embed(self, texts: Any) -> Vector:
        self.asked.extend(texts)
        return np.full((len(texts), 4), len(self.asked), np.float32)


OF_FOUR = Profile("chars:100:0", "hash:4", "off", 4)


class Scripted(CountingEmbedder):
    """Gives one answer after the other."""

    def __init__(self, *answers: Any) -> None:
        super().__init__()
        self.answers = list(answers)

    def embed(self, texts: Any) -> Vector:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return np.array([answer], np.float32)


@pytest.mark.parametrize("answer", [Terminal("It answered 401."), [np.nan] * 4, [0.5] * 3, [np.inf, 0, 0, 0]])
def test_what_an_embedder_refuses_or_spoils_is_told_and_not_remembered(answer: Any) -> None:
    """A search by words still serves, and the next one asks again."""
    embedder = Scripted(answer, [0.5] * 4)
    vectors = QueryVectors(lambda name: embedder)
    with pytest.raises(Unavailable, match="legs: sparse"):
        vectors(OF_FOUR, "a", READER)
    assert vectors(OF_FOUR, "a", READER).tolist() == [0.5] * 4


def test_a_repeated_question_is_embedded_once_and_the_oldest_is_let_go() -> None:
    embedder = CountingEmbedder()
    vectors = QueryVectors(lambda name: embedder, size=2)
    first = vectors(OF_FOUR, "a", READER)
    assert vectors(OF_FOUR, "a", READER) is first
    vectors(OF_FOUR, "b", READER)
    vectors(OF_FOUR, "a", READER)
    vectors(OF_FOUR, "c", READER)  # lets b go, which was used longest ago
    vectors(OF_FOUR, "a", READER)
    vectors(OF_FOUR, "b", READER)
    assert embedder.asked == ["a", "b", "c", "b"]
    assert first.shape == (4,)


def test_vectors_of_two_embedders_are_kept_apart() -> None:
    one, other = CountingEmbedder(), CountingEmbedder()
    vectors = QueryVectors(lambda name: one if name == "one" else other)
    vectors(replace(OF_FOUR, embedder="one"), "a", READER)
    vectors(replace(OF_FOUR, embedder="other"), "a", READER)
    assert (one.asked, other.asked) == (["a"], ["a"])


def test_a_question_is_remembered_for_who_asked_it() -> None:
    """A quick answer would tell that somebody else asked the same."""
    embedder = CountingEmbedder()
    vectors = QueryVectors(lambda name: embedder)
    for who in (READER, replace(READER, tenant="other"), replace(READER, name="ben"), READER):
        vectors(OF_FOUR, "a", who)
    assert embedder.asked == ["a", "a", "a"]


def nested(depth: int) -> Any:
    value: Any = "innermost"
    for _ in range(depth):
        value = {"a": value}
    return value


def test_passages_whose_metadata_the_question_names_come_first() -> None:
    world = World(30, own_metadata={7: {"source": "The Verge"}, 9: {"source": "The Age"}})
    asked = "what is a passage in The Verge"
    assert numbers(ask(world, query=asked)) == [7, 0, 1, 2, 3]
    assert numbers(ask(world, query=asked, retrievers=("dense",))) == [0, 1, 2, 3, 4]
    assert numbers(ask(replace(world, hidden={7}), query=asked)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("metadata", [nested(260), {"a": [float("nan"), "\ud800", 2**70]}, ["no object"]])
def test_stored_metadata_of_any_kind_breaks_no_search(metadata: Any) -> None:
    outcome = ask(World(9, metadata=metadata))
    assert numbers(outcome) == [0, 1, 2, 3, 4]
    assert SearchAnswer.model_validate(search_response(outcome)).model_dump_json()


def test_a_row_unlike_anything_foreseen_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(9)
    row = world._row
    cipher = Cipher(world.keys[document_id(2)], "acme", document_id(2))
    broken: dict[int, dict[str, Any]] = {2: {"sealed_headings": cipher.encrypt_json("headings", 7, chunk_id(2))}}
    monkeypatch.setattr(world, "_row", lambda number: replace(row(number), **broken.get(number, {})))
    assert numbers(ask(world)) == [0, 1, 3, 4, 5]


def test_scores_tell_nothing_of_what_may_not_be_read() -> None:
    """A gap between fused ranks, or BM25's own score, would."""
    world, all_seen = World(30, hidden={0, 2, 4}), World(30)
    for world_ in (world, all_seen):
        world_.scores = {n: {"dense": 1 - n / 31, "sparse": 9.0 - n / 7} for n in range(30)}
    for retrievers in (("dense", "sparse"), ("sparse",)):
        shown, other = ask(world, retrievers=retrievers), ask(all_seen, retrievers=retrievers)
        assert [each.score for each in shown.passages] == [each.score for each in other.passages]
        assert len({each.score for each in shown.passages}) == 5
    assert ask(world, retrievers=("dense",)).passages[0].score == pytest.approx(1 - 1 / 31), "depends on nothing else"


BIG = 1234567890123456782


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (BIG, [2]),
        ([BIG, BIG + 1], [2, 3]),
        ({"gt": BIG}, [3, 4]),
        ({"gte": BIG, "lt": BIG + 2}, [2, 3]),
        ({"lte": BIG - 1}, [0, 1]),
    ],
)
def test_integers_that_floats_confuse_are_compared_exactly(wanted: Any, expected: list[int]) -> None:
    world = World(5)
    row = world._row

    def numbered(number: int) -> Hydrated:
        cipher = Cipher(world.keys[document_id(number)], "acme", document_id(number))
        return replace(row(number), sealed_metadata=cipher.encrypt_json("metadata", {"year": BIG - 2 + number}))

    world._row = numbered  # type: ignore[method-assign]
    assert numbers(ask(world, filters={"year": wanted})) == expected


def test_bm25_scores_would_count_the_words_of_other_tenants() -> None:
    """Why they are not shown: with the weight of one's own term, a score gives the count of passages that have it."""

    def answers(others: int) -> tuple[float, list[float], list[dict[str, float]]]:
        world, vectors = World(3), MemoryVectors()
        vectors.ensure(GENERATION)
        for number in range(3 + others):
            dense = np.eye(4, dtype=np.float32)[number % 4]
            sparse = SparseVector(np.array([number >= 2, 2], np.uint32), np.ones(2, np.float32))
            payload: dict[str, Any] = {
                "tenant": "acme" if number < 3 else "other",
                "source_id": str(SOURCE),
                "meta": {},
            }
            vectors.upsert(GENERATION, [Point(chunk_id(number), dense, sparse, payload)])
        word = SparseVector(np.ones(1, np.uint32), np.ones(1, np.float32))
        asked = VectorQuery(None, word, "acme", (SOURCE,), {}, 5)
        raw = vectors.search(GENERATION, asked)[0].scores["sparse"]
        ports = replace(world.ports(), vectors=vectors, sparse_query=lambda question, key, languages: word)
        outcome = search(ports, SearchRequest("word", "docs", 5, explain=True), READER)
        return raw, [each.score for each in outcome.passages], [dict(each.scores) for each in outcome.passages]

    few, many = answers(1), answers(50)
    total, having = 3 + 50, 1 + 50
    assert many[0] == pytest.approx(np.log((total - having + 0.5) / (having + 0.5) + 1))
    assert few[0] != many[0]
    assert few[1:] == many[1:]


# --- what is near enough


def near(size: int, similarities: dict[int, float], default: float = 0.9) -> World:
    return World(size, scores={n: {"dense": similarities.get(n, default)} for n in range(size)})


def test_passages_below_the_lowest_similarity_are_left_out_and_replaced() -> None:
    outcome = ask(near(30, {0: 0.1, 2: 0.39, 3: 0.4, 1: 0.95}, 0.3), min_score=0.4)
    assert numbers(outcome) == [1, 3]
    assert [passage.similarity for passage in outcome.passages] == [0.95, 0.4]
    assert search_response(outcome)["results"][1]["similarity"] == pytest.approx(0.4)
    assert "similarity" not in search_response(ask(near(30, {})))["results"][0]


def test_a_search_for_what_is_near_goes_on_until_the_index_has_no_more() -> None:
    """Candidates of the sparse retriever may be similar, too: only the dense one's last candidate says that none is."""
    world = near(900, {})
    world.hidden = set(range(890))
    assert sorted(numbers(ask(world, min_score=0.5, top_k=20))) == list(range(890, 900))
    assert world.limits == [100, 400, 1600]


@pytest.mark.parametrize("retrievers", [("dense",), ("dense", "sparse")])
def test_a_search_ends_where_no_other_passage_can_be_near(retrievers: Any) -> None:
    world = near(500, {0: 0.9, 1: 0.8, 2: 0.7}, 0.2)
    outcome = ask(world, min_score=0.5, retrievers=retrievers)
    assert (numbers(outcome), outcome.degraded, world.limits) == ([0, 1, 2], (), [100])


@pytest.mark.parametrize(
    "changes", [{"min_score": -0.1}, {"min_score": 1.1}, {"min_score": 0.5, "retrievers": ("sparse",)}]
)
def test_a_lowest_similarity_that_cannot_be(changes: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match="min_score"):
        ask(World(3), **changes)


# --- whether anything is relevant


def evaluated(embedder: str, near: float, question: str, text: str = "pumps are inspected", **changes: Any) -> Any:
    """What a search says where every passage is that near."""
    world = World(9, scores={n: {"dense": near, "sparse": 1.0} for n in range(9)}, text=text)
    ports = replace(world.ports(), sparse_query=sparse_query)
    generation = replace(GENERATION, profile=replace(GENERATION.profile, embedder=embedder))
    live = replace(world.live("docs", READER), generation=generation)
    world.live = lambda collection, principal: live  # type: ignore[method-assign]
    world.hydrate = lambda generation, chunk_ids, principal: [  # type: ignore[method-assign]
        world._row(world.numbers[each]) for each in chunk_ids
    ]
    return search(ports, replace(SearchRequest(question, "docs", 5), **changes), READER)


@pytest.mark.parametrize(
    ("embedder", "near", "question", "nothing"),
    [
        ("minilm", 0.39, "zzz qqq xxyzzy", True),
        ("minilm", 0.41, "zzz qqq xxyzzy", False),
        ("minilm", 0.10, "zzz inspection", False),  # by its stem
        ("minilm", 0.10, "zzz below", False),  # in a heading
        ("minilm", 0.10, "what is it", True),  # stop words only
        ("hash:256", 0.70, "zzz qqq xxyzzy", True),
        ("hash:256", 0.10, "pump", False),
        ("openai:text-embedding-3-small", 0.10, "zzz qqq xxyzzy", False),  # not measured
    ],
)
def test_nothing_relevant(embedder: str, near: float, question: str, nothing: bool) -> None:
    outcome = evaluated(embedder, near, question)
    assert outcome.nothing_relevant is nothing
    assert len(outcome.passages) == 5, "the nearest passages are there all the same"
    assert evaluated(embedder, near, question, top_k=1).nothing_relevant is nothing


def test_nothing_is_relevant_where_nothing_is_found() -> None:
    assert ask(World(30, sources=())).nothing_relevant is True
    assert ask(near(30, {}, 0.1), min_score=0.5).nothing_relevant is True
    assert ask(World(30)).nothing_relevant is False


def test_words_alone_are_relevant() -> None:
    assert evaluated("minilm", 0.1, "pump", retrievers=("sparse",)).nothing_relevant is False


# --- a dependency that does not answer


class Words:
    """The full text of a world: every chunk, number 0 the best."""

    def __init__(self, world: World, all_chunks: bool = True) -> None:
        self.world, self.all_chunks = world, all_chunks
        self.limits: list[int] = []

    def search(self, generation: Generation, query: VectorQuery) -> FullTextHits:
        self.limits.append(query.limit)
        found = [Candidate(chunk_id(n), {"sparse": 1 / (n + 1)}) for n in range(min(self.world.size, query.limit))]
        return FullTextHits(found, len(found) < query.limit, self.all_chunks)


def ask_without(
    world: World, words: Words, embed: Any = lambda *of: np.ones(4, np.float32), **request: Any
) -> SearchOutcome:
    fake: Any = words
    ports = replace(world.ports(), full_text=fake, embed_query=embed)
    return search(ports, SearchRequest(**{"query": "a passage", "collection": "docs", "top_k": 5, **request}), READER)


def lost(*of: Any) -> Vector:
    raise Unavailable("The embedding endpoint", "ConnectError")


def test_without_the_index_the_full_text_serves_and_the_ledger_still_decides() -> None:
    world = World(30, hidden={0, 2}, down="qdrant")
    outcome = ask_without(world, Words(world))
    assert numbers(outcome) == [1, 3, 4, 5, 6]
    assert (outcome.retrievers, outcome.degraded) == (("sparse",), ("dense", "full_text"))
    assert not outcome.nothing_relevant
    assert [each.score for each in outcome.passages] == [1 / (60 + place) for place in range(5)], "ranks only"


def test_without_the_index_and_the_endpoint_each_loss_is_named_once() -> None:
    world = World(30, down="qdrant")
    assert ask_without(world, Words(world), lost).degraded == ("dense", "full_text")
    assert ask_without(world, Words(world), retrievers=("sparse",)).degraded == ("full_text",)


def test_without_the_endpoint_words_alone_serve() -> None:
    world = World(30)
    outcome = ask_without(world, Words(world), lost)
    assert numbers(outcome) == [0, 1, 2, 3, 4]
    assert (outcome.retrievers, outcome.degraded) == (("sparse",), ("dense",))
    assert [each.retrievers for each in world.queries] == [("sparse",)]


@pytest.mark.parametrize(
    "request_",
    [{"retrievers": ("dense",)}, {"min_score": 0.5}, {"query": "the of"}],
    ids=["dense alone", "a lowest similarity", "stop words"],
)
def test_what_words_cannot_serve_is_an_error(request_: dict[str, Any]) -> None:
    for world, embed in ((World(30, down="qdrant"), lambda *of: np.ones(4, np.float32)), (World(30), lost)):
        with pytest.raises(Unavailable):
            ask_without(world, Words(world), embed, **request_)


@pytest.mark.parametrize("store", ["ledger", "hydration", "keys"])
def test_without_the_ledger_or_the_keys_nothing_is_shown(store: str) -> None:
    world = World(30, down=store)
    with pytest.raises(Unavailable, match=store):
        ask_without(world, Words(world))


def test_chunks_without_terms_are_told() -> None:
    world = World(30, down="qdrant")
    assert ask_without(world, Words(world, all_chunks=False)).degraded == ("dense", "full_text", "terms")


def test_filters_are_decided_by_the_ledger_and_a_partial_result_says_so() -> None:
    world = World(30, metadata={"year": 2024}, down="qdrant")
    assert numbers(ask_without(world, Words(world), filters={"year": 2024})) == [0, 1, 2, 3, 4]
    outcome = ask_without(world, Words(world), filters={"year": 2025})
    assert (outcome.passages, outcome.degraded) == ((), ("dense", "full_text")), "all candidates were compared"
    many = World(MAX_CANDIDATES + 50, metadata={"year": 2024}, down="qdrant")
    words = Words(many)
    outcome = ask_without(many, words, filters={"year": 2025})
    assert (outcome.passages, outcome.degraded) == ((), ("dense", "full_text", "filters", "refill"))
    assert max(words.limits) == MAX_CANDIDATES


def test_a_budget_that_is_used_up_ends_the_refill() -> None:
    world = World(900, hidden=set(range(500)))
    with deadline.within(0.0):
        outcome = ask(world)
    assert (outcome.passages, outcome.degraded, world.limits) == ((), ("time",), [100])


def test_every_word_of_a_response_is_explained() -> None:
    assert set(DEGRADATIONS) == set(get_args(Degradation))
