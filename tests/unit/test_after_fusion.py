"""What happens to passages after fusion: near-duplicates, diversity, ranks, reasons of empty results."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.encryption import Cipher
from sluice.errors import BadRequest, Unavailable
from sluice.model.filters import contradiction, parse_filters
from sluice.model.links import Link
from sluice.model.passage import Passage
from sluice.model.points import StoredPoint
from sluice.model.search import Hydrated, SearchRequest
from sluice.retrieval.arranging import with_ranks
from sluice.retrieval.diversity import marginal_order
from sluice.retrieval.linked_passages import GraphRetriever
from sluice.retrieval.metrics import collapse
from sluice.retrieval.near_duplicates import SIMILAR, distinct
from sluice.retrieval.reranking import Reranking
from sluice.retrieval.search_json import search_response
from sluice.retrieval.searching import search
from unit.test_rerankers import Scripted, passage
from unit.test_searching import GENERATION, READER, World, ask, chunk_id, document_id, numbers

LONG = (
    "The pumps of the northern station are inspected every month by two engineers, who read the pressure at a valve, "
    "write it into the log and replace seals that are older than they should be before the winter begins again. "
)


def texts(*given: str, title: str = "Pumps") -> list[Passage]:
    return [replace(passage(n, text), title=title, headings=()) for n, text in enumerate(given)]


def collapsed(passages: Sequence[Passage], most: int = 10) -> list[tuple[int, list[int]]]:
    return [(each.chunk_id.int, [other.chunk_id.int for other in each.duplicates]) for each in distinct(passages, most)]


# --- near-duplicates


@pytest.mark.parametrize(
    "other",
    [
        LONG,
        LONG.upper(),
        LONG.replace(", ", " \u2013 ").replace(" ", "\n  "),
        LONG.replace("engineers", "technicians"),
        LONG + "See the log.",
        LONG.replace("i", "\uff49"),
    ],
)
def test_nearly_the_same_text_appears_once_and_names_the_others(other: str) -> None:
    assert collapsed(texts(LONG, "Another text.", other)) == [(0, [2]), (1, [])]


@pytest.mark.parametrize(
    "other",
    [
        LONG[: len(LONG) // 2],
        LONG + "A second paragraph says how the seals are ordered, who pays for them, and where they are stored.",
        " ".join(reversed(LONG.split())),
        "",
        "!?",
    ],
)
def test_other_texts_stay(other: str) -> None:
    assert collapsed(texts(LONG, other)) == [(0, []), (1, [])]


def test_one_number_makes_another_fact() -> None:
    assert collapsed(texts(LONG + "It costs 310 euro.", LONG + "It costs 301 euro.")) == [(0, []), (1, [])]
    one, other = texts(LONG, LONG)
    assert collapsed([replace(one, title="Release 1.2"), replace(other, title="Release 1.3")]) == [(0, []), (1, [])]


def test_a_short_text_under_another_title_is_another_fact() -> None:
    one, other = texts("Five million people.", "Five million people.")
    assert collapsed([one, replace(other, title="Finland")]) == [(0, []), (1, [])]
    assert collapsed([one, other]) == [(0, [1])]


def test_texts_without_spaces_are_compared_by_character() -> None:
    chinese = "泵每月由两名工程师检查一次他们读取每个阀门的压力并将其写入日志并在冬季开始前更换旧密封件"
    assert collapsed(texts(chinese, chinese + "。", chinese[:20])) == [(0, [1]), (2, [])]


def test_overlapping_chunks_of_one_document_stay() -> None:
    one, other = texts(LONG, LONG)
    other = replace(other, document_id=one.document_id)
    assert collapsed([one, replace(other, start=10, end=10 + len(LONG))]) == [(0, []), (1, [])]
    assert collapsed([one, replace(other, start=900, end=900 + len(LONG))]) == [(0, [1])]


def test_reading_stops_when_there_are_enough() -> None:
    read: list[int] = []

    def source() -> Any:
        for each in texts(LONG, LONG, "one of a kind", "two of a kind", "three"):
            read.append(each.chunk_id.int)
            yield each

    assert [each.chunk_id.int for each in distinct(source(), 2)] == [0, 2]
    assert read == [0, 1, 2]


WORDS = st.lists(st.sampled_from(["pump", "valve", "seal", "7", "8", "log"]), min_size=1, max_size=9).map(" ".join)


@st.composite
def edited(draw: st.DrawFn) -> str:
    """A text of 5 to 60 words, of which a few are other ones: about as similar as near-duplicates just are."""
    words = [f"w{each}" for each in "abcdefghijklmnopqrstuvwxyz"] * 3
    words = words[: draw(st.integers(5, 60))]
    for place in draw(st.lists(st.integers(0, len(words) - 1), max_size=4)):
        words[place] = draw(st.sampled_from(["x", "y"]))
    return " ".join(words)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(WORDS, min_size=1, max_size=8) | st.lists(edited(), min_size=2, max_size=6))
def test_nothing_is_lost_and_exactly_what_is_similar_is_collapsed(given_texts: list[str]) -> None:
    passages = texts(*given_texts)
    result = distinct(passages, 100)
    ids = [each.chunk_id for each in result] + [other.chunk_id for each in result for other in each.duplicates]
    assert sorted(ids) == [each.chunk_id for each in passages]

    def shingles(text: str) -> set[tuple[str, ...]]:
        words = f"pumps {text}".split()
        width = min(3, len(words))
        return {tuple(words[at : at + width]) for at in range(len(words) - width + 1)}

    def similar(text: str, other: str) -> bool:
        one, two = shingles(text), shingles(other)
        return len(one & two) >= SIMILAR * len(one | two)

    for place, each in enumerate(result):
        assert all(similar(each.text, given_texts[other.chunk_id.int]) for other in each.duplicates)
        earlier = (kept for kept in result[:place] if re.findall(r"\d", kept.text) == re.findall(r"\d", each.text))
        assert not any(similar(each.text, kept.text) for kept in earlier)


class Copied(World):
    """Chunks 0 to 9 have one text and title, as have 10 to 19, and so on."""

    def _row(self, number: int) -> Hydrated:
        cipher = Cipher(self.keys[document_id(number)], "acme", document_id(number))
        text = LONG + "and so on, " * 3 + "abcdef"[number // 10] * 5 + " xyz" * (number // 10)
        return replace(
            super()._row(number),
            sealed_title=cipher.encrypt_text("title", "Same"),
            sealed_text=cipher.encrypt_text("chunk", " ".join(text.split()[number // 10 * 7 :]), chunk_id(number)),
        )


def test_a_result_stays_full_when_near_duplicates_leave_it() -> None:
    world = Copied(60)
    outcome = ask(world)
    assert [world.numbers[each.chunk_id] for each in outcome.passages] == [0, 10, 20, 30, 40]
    assert [len(each.duplicates) for each in outcome.passages] == [9, 9, 9, 9, 0], "read until there are enough"
    named = search_response(outcome)["results"][0]["duplicates"]
    assert [each["chunk_id"] for each in named] == [chunk_id(number) for number in range(1, 10)]
    assert [each["external_id"] for each in named] == [f"{number}.md" for number in range(1, 10)]
    names = ([each.external_id, *(d.external_id for d in each.duplicates)] for each in outcome.passages)
    assert collapse(names) == [f"{number}.md" for number in range(41)], "no document is lost"
    everything = ask(world, duplicates=True)
    assert [world.numbers[each.chunk_id] for each in everything.passages] == [0, 1, 2, 3, 4]
    assert "duplicates" not in search_response(everything)["results"][0]


# --- diversity


def test_diversity_prefers_what_is_unlike_the_better_ones() -> None:
    vectors = np.array([[1, 0], [1, 0], [0.9, 0.436], [0, 1]], np.float32)
    relevance = [1.0, 0.9, 0.8, 0.5]
    assert marginal_order(relevance, vectors, 0.0, 4) == [0, 1, 2, 3]
    assert marginal_order(relevance, vectors, 0.5, 2) == [0, 3]
    assert marginal_order(relevance, vectors, 1.0, 4)[:2] == [0, 3]
    assert marginal_order([], np.zeros((0, 2), np.float32), 0.5, 3) == []
    assert marginal_order([2.0, 2.0], vectors[:2], 0.3, 5) == [0, 1]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.integers(1, 12), st.floats(0, 1), st.integers(0, 10_000))
def test_each_step_takes_the_highest_marginal_relevance(size: int, diversity: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    vectors = random.standard_normal((size, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    relevance = random.uniform(-3, 9, size)
    order = marginal_order(relevance.tolist(), vectors, diversity, size)
    assert sorted(order) == list(range(size))
    scaled = (relevance - relevance.min()) / (np.ptp(relevance) or 1)
    for place, chosen in enumerate(order):
        before, rest = order[:place], order[place:]

        def marginal(item: int, before: list[int] = before) -> float:
            nearest = max((float(vectors[item] @ vectors[each]) for each in before), default=0.0)
            return float((1 - diversity) * scaled[item] - diversity * nearest)

        assert marginal(chosen) == pytest.approx(max(map(marginal, rest)), abs=1e-5)


class WithVectors(World):
    """Chunks 0 to 9 have one vector, the others one of their own; `gone` points are missing."""

    gone: frozenset[int] = frozenset()

    def points_of(self, generation: Any, chunk_ids: Sequence[UUID], *, vectors: bool = False) -> list[StoredPoint]:
        self._check("points")
        assert vectors
        found = [self.numbers[each] for each in chunk_ids]
        eye = np.eye(4, dtype=np.float32)
        return [StoredPoint(chunk_id(n), {}, eye[n // 10 % 4]) for n in found if n not in self.gone]


def test_a_diverse_result_is_chosen_from_more_passages() -> None:
    world = WithVectors(60)
    outcome = ask(world, diversity=0.7, top_k=4)
    assert [number // 10 for number in numbers(outcome)] == [0, 1, 2, 3]
    assert [each.score for each in outcome.passages] == [2 / (60 + place) for place in range(4)]
    assert outcome.degraded == ()
    assert len(ask(world, diversity=0.7, top_k=60).passages) == 60
    world.gone = frozenset(range(60))
    assert numbers(ask(world, diversity=0.7, top_k=4)) == [0, 1, 2, 3]


def test_without_vectors_the_order_stays_and_it_is_said() -> None:
    outcome = ask(WithVectors(60, down="points"), diversity=0.7)
    assert (numbers(outcome), outcome.degraded) == ([0, 1, 2, 3, 4], ("diversity",))


@pytest.mark.parametrize(
    "changes", [{"diversity": -0.1}, {"diversity": 1.1}, {"diversity": float("nan")}, {"context": -1}, {"context": 6}]
)
def test_options_out_of_range(changes: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match=next(iter(changes))):
        ask(World(3), **changes)


# --- reranking, ranks


def reranked(world: World, answer: Any, **changes: Any) -> Any:
    ports = world.ports()
    world.ports = lambda: replace(ports, reranking=Reranking(Scripted(answer), 10, 1.0))  # type: ignore[method-assign]
    return ask(world, **changes)


def test_a_configured_reranker_orders_the_first_passages() -> None:
    answer = [0.0, 5.0, *[-1.0 - n for n in range(8)]]
    outcome = reranked(World(30), answer, top_k=3)
    assert numbers(outcome) == [1, 0, 2]
    assert [each.score for each in outcome.passages] == [2 / (60 + place) for place in range(3)]
    shown = search_response(outcome, explain=True)["results"][0]["explain"]
    assert shown["rerank"] == 5.0
    assert shown["ranks"] == {"dense": 2, "sparse": 2, "fused": 2, "rerank": 1}
    assert numbers(reranked(World(30), answer, top_k=3, rerank=False)) == [0, 1, 2]
    assert len(reranked(World(30), answer, top_k=20, rerank=True).passages) == 20


def test_a_reranker_that_fails_leaves_the_fused_order_and_says_so() -> None:
    outcome = reranked(World(30), Unavailable("the endpoint", "down"), rerank=True)
    assert (numbers(outcome), outcome.degraded) == ([0, 1, 2, 3, 4], ("rerank",))


def test_a_reranker_that_is_not_configured_is_a_bad_request() -> None:
    with pytest.raises(BadRequest, match="SLUICE_RERANKER"):
        ask(World(3), rerank=True)
    assert len(ask(World(3), rerank=None).passages) == len(ask(World(3), rerank=False).passages) == 3


def test_ranks_count_only_what_is_shown() -> None:
    shown = [replace(passage(n), score=score, scores=scores) for n, score, scores in (
        (0, 0.5, {"dense": 0.9}), (1, 0.9, {"dense": 0.1, "sparse": 3.0}), (2, 0.5, {"dense": 0.2, "sparse": 9.0}),
    )]  # fmt: skip
    assert [dict(each.ranks) for each in with_ranks(shown)] == [
        {"dense": 1, "fused": 2},
        {"dense": 3, "sparse": 2, "fused": 1},
        {"dense": 2, "sparse": 1, "fused": 2},
    ]
    world, all_seen = World(30, hidden={0, 2, 4}), World(30)
    ranks = [[dict(each.ranks) for each in ask(each_world, explain=True).passages] for each_world in (world, all_seen)]
    assert ranks[0] == ranks[1]


# --- reasons of empty results


@pytest.mark.parametrize(
    ("world", "changes", "code", "says"),
    [
        (World(9), {"filters": {"year": {"gte": 5, "lt": 5}}}, "filters_contradict", "year"),
        (World(9), {"query": "the of", "retrievers": ("sparse",)}, "no_terms", "stop words"),
        (World(9), {"filters": {"year": 7}}, "filters_match_nothing", "the filters on year"),
        (World(9, scores={n: {"dense": 0.5} for n in range(9)}), {"min_score": 0.6}, "below_min_score", "min_score"),
        (World(0), {"retrievers": ("sparse",)}, "no_match", "a word of the question"),
        (World(0), {}, "no_match", "may read now"),
        (World(9, hidden=set(range(9))), {}, "no_match", "may read now"),
    ],
)
def test_an_empty_result_says_why(world: World, changes: dict[str, Any], code: str, says: str) -> None:
    outcome = ask(world, **changes)
    assert outcome.passages == ()
    assert outcome.nothing_relevant
    assert outcome.reason.code == code
    assert says in outcome.reason.detail
    assert search_response(outcome)["reason"] == {"code": code, "detail": outcome.reason.detail}
    assert (world.limits == []) == (code in ("filters_contradict", "no_terms"))
    assert (outcome.retrievers == ()) == (code in ("filters_contradict", "no_terms"))


class Links:
    """No link leads anywhere, or the store of links is down."""

    def __init__(self, *, down: bool = False) -> None:
        self._down = down

    def links(self, *_: object) -> list[Link]:
        if self._down:
            raise Unavailable("neo4j", "stopped")
        return []


@pytest.mark.parametrize(
    ("links", "filters", "code", "says"),
    [
        (Links(), {}, "no_link", "No link leads from the question"),
        (Links(), {"language": {"exists": False}}, "no_link", "the filters on language"),
        (Links(down=True), {}, "no_link", "did not answer in time"),
        (None, {}, "", "no graph"),
        (None, {"year": {"gte": 5, "lt": 5}}, "", "no graph"),
        (Links(), {"year": {"gte": 5, "lt": 5}}, "filters_contradict", "year"),
    ],
)
def test_an_empty_result_of_the_graph_alone_says_why(
    monkeypatch: pytest.MonkeyPatch, links: Any, filters: dict[str, Any], code: str, says: str
) -> None:
    profile = replace(GENERATION.profile, entities="phrases")
    monkeypatch.setattr("unit.test_searching.GENERATION", replace(GENERATION, profile=profile))
    graph = links and GraphRetriever(links, names_of_question=lambda *_: {}, names_of_passage=lambda *_: {})
    ports = replace(World(9).ports(), graph=graph)
    request = SearchRequest("what is a passage", "docs", 5, retrievers=("graph",), filters=filters)
    if graph is None:
        with pytest.raises(BadRequest, match=says):
            search(ports, request, READER)
        return
    outcome = search(ports, request, READER)
    assert outcome.passages == ()
    assert outcome.reason is not None
    assert outcome.reason.code == code
    assert says in outcome.reason.detail
    assert outcome.retrievers == (("graph",) if says.startswith(("No link", "the filters")) else ())


def test_a_result_has_no_reason() -> None:
    assert "reason" not in search_response(ask(World(9)))


@pytest.mark.parametrize(
    ("wanted", "impossible"),
    [
        ([], True),
        ({"any": [], "exists": True}, True),
        ({"any": [1, "a"], "none": [1.0, "a"]}, True),
        ({"any": [1, "a"], "none": [True, "a"]}, False),
        ({"exists": False, "gte": 1}, True),
        ({"exists": False, "any": [1]}, True),
        ({"exists": False, "none": [1]}, False),
        ({"gt": 1, "lt": 1}, True),
        ({"gte": 1, "lt": 1}, True),
        ({"gte": 1, "lte": 1.0}, False),
        ({"gt": "2026-01-01", "lt": "2025-01-01"}, True),
        ({"gte": "2026-01-01T02:00:00+02:00", "lte": "2026-01-01"}, False),
        ({"any": [1], "gte": 2}, False),  # a list may have both
    ],
)
def test_contradictions(wanted: Any, impossible: bool) -> None:
    assert bool(contradiction(parse_filters({"year": wanted}, ("year",)))) == impossible


def test_a_request_names_all_its_options() -> None:
    """Whoever caches responses has to key them by these."""
    assert set(SearchRequest.__slots__) == {
        "query", "collection", "top_k", "retrievers", "filters", "explain", "min_score",
        "duplicates", "diversity", "context", "rerank",
    }  # fmt: skip
