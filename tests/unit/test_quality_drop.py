"""The comparison of two evaluations, and what the check makes of it."""

from __future__ import annotations

import weakref
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest

from sluice.errors import BadRequest, Transient
from sluice.maintenance.evaluation import compared, comparison_in_words, in_words, recorded_gate
from sluice.model.evaluation import FUSED, Evaluation, RetrieverScores
from sluice.model.generation import Profile
from sluice.model.golden import JudgedQuery, Judgement
from sluice.model.grants import Principal
from sluice.model.passage import Duplicate
from sluice.model.search import RETRIEVERS, SearchRequest
from sluice.quality.checks import check_of
from sluice.retrieval import metrics
from sluice.retrieval.measuring import measure
from sluice.retrieval.searching import SearchOutcome
from support.page_server import passage

CHECK = check_of("quality_drop")
READER = Principal("reader", "default", frozenset({"*"}))


def evaluation(ndcg: Any, *, first: int = 0) -> Evaluation:
    """Of questions numbered from `first`, each with this nDCG@10."""
    values = np.repeat(np.asarray(ndcg, np.float32)[:, None], 4, axis=1)
    figures = metrics.summary(values)
    scores = RetrieverScores(
        FUSED, values, {name: figures[name] for name in metrics.NAMES}, figures["intervals"], 5.0, 9.0
    )
    hashes = tuple((first + number).to_bytes(16, "big") for number in range(len(values)))
    now = datetime.now(UTC)
    return Evaluation(
        uuid4(), "default", "docs", "default", "v", 1, Profile("c", "hash:8", "off", 8), None, None, now, len(values),
        30, 1.0, hashes, (scores,),
    )  # fmt: skip


def test_a_drop_that_is_not_chance_is_reported() -> None:
    before, now = evaluation([1.0] * 20), evaluation([1.0] * 10 + [0.0] * 10)
    comparison = compared(now, before, CHECK, accept_drop=False)
    assert (comparison.result, comparison.queries, comparison.worse) == ("warning", 20, 10)
    assert comparison.drop == pytest.approx(0.5) and comparison.p < 0.01
    assert comparison.baseline_id == before.evaluation_id
    gate = recorded_gate(replace(now, comparison=comparison))
    assert gate is not None
    assert (gate.suite, gate.success, gate.blocking, gate.evaluated, gate.unexpected) == (
        "retrieval", False, False, 20, 10,
    )  # fmt: skip
    assert gate.observed["golden_set"] == "default"
    assert "-0.500 on 20 questions" in comparison_in_words(comparison)


def test_noise_is_no_alarm() -> None:
    """Ranks that change without a direction: as many questions better as worse, and a few more of them worse."""
    generator = np.random.default_rng(7)
    before = generator.uniform(0.3, 0.9, 100)
    alarms = 0
    for seed in range(40):
        moved = before + np.random.default_rng(seed).normal(0.0, 0.3, 100)
        comparison = compared(evaluation(moved), evaluation(before), CHECK, accept_drop=False)
        alarms += comparison.dropped
    assert alarms <= 3, "about one in forty by chance"


def test_a_small_drop_is_none_even_where_it_is_certain() -> None:
    comparison = compared(evaluation([0.79] * 50), evaluation([0.80] * 50), CHECK, accept_drop=False)
    assert comparison.p < 0.05 and not comparison.dropped and comparison.result == "passed"
    strict = replace(CHECK, limit=0.005, action="block")
    assert compared(evaluation([0.79] * 50), evaluation([0.80] * 50), strict, accept_drop=False).result == "failed"


def test_a_rise_is_none() -> None:
    assert compared(evaluation([1.0] * 20), evaluation([0.2] * 20), CHECK, accept_drop=False).result == "passed"


def test_an_accepted_drop_passes_and_stays_on_record() -> None:
    comparison = compared(evaluation([0.0] * 20), evaluation([1.0] * 20), CHECK, accept_drop=True)
    assert (comparison.dropped, comparison.accepted, comparison.result) == (True, True, "passed")
    assert comparison_in_words(comparison).endswith("accepted")


def test_only_questions_with_the_same_judgements_are_compared() -> None:
    before, now = evaluation([1.0] * 20), evaluation([0.0] * 20, first=14)
    comparison = compared(now, before, CHECK, accept_drop=False)
    assert (comparison.queries, comparison.worse, comparison.result) == (6, 6, "warning")
    few = compared(evaluation([0.0] * 20, first=16), before, CHECK, accept_drop=False)
    assert (few.queries, few.result) == (4, "passed") and "5 are needed" in comparison_in_words(few)
    none = compared(now, None, CHECK, accept_drop=False)
    assert (none.baseline_id, none.result) == (None, "passed")
    assert in_words(replace(now, comparison=none)).endswith("nothing to compare with")


# --- measuring


def outcome(*names: str, retrievers: tuple[Any, ...] = RETRIEVERS, **changes: Any) -> SearchOutcome:
    found = tuple(passage(number, name, "text", external_id=name) for number, name in enumerate(names))
    values: dict[str, Any] = {
        "passages": found,
        "retrievers": retrievers,
        "degraded": (),
        "generation": 3,
        "took_ms": 4.0,
    }
    return SearchOutcome(**(values | changes))


def question(name: str, *judged: Judgement) -> JudgedQuery:
    return JudgedQuery(name, f"where is {name}", judged or (Judgement(name, 1.0),))


def test_each_retriever_is_measured_beside_all_together() -> None:
    asked: list[SearchRequest] = []

    def search(request: SearchRequest, principal: Principal) -> SearchOutcome:
        asked.append(request)
        name = request.query.rpartition(" ")[2]
        if request.retrievers == ("dense",):
            return outcome("other", name, retrievers=request.retrievers)
        return outcome(name, retrievers=request.retrievers)

    queries = [question("a"), question("b"), question("unjudged", Judgement("x", 0.0))]
    result = measure(search, queries, "docs", READER)
    assert [each.retriever for each in result.scores] == [FUSED, *RETRIEVERS]
    assert [each.query_id for each in result.queries] == ["a", "b"], "without a relevant document nothing is measured"
    mrr = {each.retriever: each.metrics["mrr"] for each in result.scores}
    assert (mrr[FUSED], mrr["dense"], mrr["sparse"]) == (1.0, 0.5, 1.0)
    assert result.scores[0].values.shape == (2, 4) and result.scores[0].latency_p95_ms == 4.0
    assert asked[0].retrievers == RETRIEVERS and len(asked) == 2 * (1 + len(RETRIEVERS))
    assert [each.retriever for each in measure(search, queries, "docs", READER, each_retriever=False).scores] == [FUSED]


def test_a_document_is_found_by_its_id_also_under_another_name() -> None:
    renamed = passage(0, "t", "text", external_id="new.md")
    judged = Judgement("old.md", 1.0, renamed.document_id)

    def search(request: SearchRequest, principal: Principal) -> SearchOutcome:
        return SearchOutcome((renamed,), request.retrievers, (), 3, 1.0)

    assert measure(search, [question("a", judged)], "docs", READER).scores[0].metrics["ndcg@10"] == 1.0
    other = Judgement("new.md", 1.0, UUID(int=1))
    assert measure(search, [question("a", other)], "docs", READER).scores[0].metrics["ndcg@10"] == 0.0


def test_a_near_duplicate_counts_at_the_rank_of_its_passage() -> None:
    """A mirrored page that is collapsed into another is no drop."""
    mirror, gold = passage(0, "t", "text", external_id="mirror.md"), passage(1, "t", "text", external_id="gold.md")
    named = Duplicate(gold.chunk_id, gold.document_id, "gold.md", gold.title, gold.uri)
    found = replace(mirror, duplicates=(named,))

    def search(request: SearchRequest, principal: Principal) -> SearchOutcome:
        return SearchOutcome((found, passage(2, "t", "text", external_id="c.md")), request.retrievers, (), 3, 1.0)

    for judgement in (Judgement("gold.md", 1.0), Judgement("old name.md", 1.0, gold.document_id)):
        metrics_of = measure(search, [question("a", judgement)], "docs", READER).scores[0].metrics
        assert (metrics_of["recall@10"], metrics_of["mrr"]) == (1.0, 0.5)


def test_texts_of_passages_are_not_kept_until_the_end() -> None:
    alive: list[weakref.ref[Any]] = []

    class Text(str):
        """A string that can be watched."""

    def search(request: SearchRequest, principal: Principal) -> SearchOutcome:
        words = Text("a long decrypted text")
        alive.append(weakref.ref(words))
        assert sum(each() is not None for each in alive) <= 3, "those of earlier questions are gone"
        return SearchOutcome((passage(0, "t", words, external_id="a"),), request.retrievers, (), 3, 1.0)

    measure(search, [question("a")] * 5, "docs", READER)
    assert len(alive) == 5 * (1 + len(RETRIEVERS))


def test_a_retriever_that_served_nothing_is_left_out() -> None:
    def search(request: SearchRequest, principal: Principal) -> SearchOutcome:
        assert request.retrievers in (RETRIEVERS, ("dense",)), "what had no part is not searched alone"
        return outcome("a", retrievers=("dense",))

    assert [each.retriever for each in measure(search, [question("a")], "docs", READER).scores] == [FUSED, "dense"]


def test_an_incomplete_search_is_no_measurement() -> None:
    queries = [question("a"), question("b")]
    with pytest.raises(Transient, match=r"incomplete \(qdrant\)"):
        measure(lambda *_: outcome("a", degraded=("qdrant", "refill")), queries, "docs", READER)
    numbers = iter(range(100))
    with pytest.raises(Transient, match="generation"):
        measure(lambda *_: outcome("a", generation=next(numbers)), queries, "docs", READER)
    assert measure(lambda *_: outcome("a", degraded=("refill",)), queries, "docs", READER).generation == 3
    with pytest.raises(BadRequest, match="No question"):
        measure(lambda *_: outcome("a"), [question("a", Judgement("a", 0.0))], "docs", READER)
