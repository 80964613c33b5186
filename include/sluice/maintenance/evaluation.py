"""Evaluates search on golden sets, keeps the history, and checks each result against the last one that passed.

The check is `quality_drop` of the suite `retrieval`. It compares the nDCG@10 of all retrievers together, question by
question, over the questions whose judgements are the same in both evaluations. A drop is reported only if it is larger
than the limit and unlikely to be chance (paired bootstrap), so that a few changed ranks are no alarm.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from sluice.model.evaluation import FILES, FUSED, METRICS, Comparison, Evaluation
from sluice.model.gates import GateResult, GateRule
from sluice.model.generation import Generation
from sluice.model.golden import GoldenSet, JudgedQuery, Judgement, judged_hash, version_of
from sluice.model.grants import ALL_GROUPS, Principal
from sluice.pipeline.generations import live_generations
from sluice.ports.collections import Collections
from sluice.ports.evaluations import Evaluations
from sluice.ports.quality import Quality
from sluice.quality.checks import Check, check_of
from sluice.quality.gate_rules import merged, with_rules
from sluice.retrieval import metrics
from sluice.retrieval.golden import Golden
from sluice.retrieval.measuring import TOP_K, Measurement, measure, switched
from sluice.retrieval.observed_search import Search

SUITE, CHECK = "retrieval", "quality_drop"
SIGNIFICANT = 0.05  # p of a drop that is reported
LEAST_COMPARED = 5  # questions; with fewer, a single changed rank would be a significant drop
_MEASURED_BY = METRICS.index("ndcg@10")


@dataclass(frozen=True, slots=True)
class EvaluationRequest:
    """What to evaluate. `changed`: False if the collection did not change since the last evaluation, as far as the
    caller knows; then an unchanged golden set is not evaluated again."""

    tenant: str
    collection: str
    golden_set: str
    top_k: int = TOP_K
    accept_drop: bool = False
    orchestrator: str | None = None
    changed: bool = True


@dataclass(frozen=True, slots=True)
class Evaluating:
    """Evaluates collections and reads the history."""

    collections: Collections
    golden: Golden
    evaluations: Evaluations
    quality: Quality
    search: Search
    everywhere: Mapping[tuple[str, str], GateRule]  # gate rules of all collections, by suite and code

    def sets(self, tenant: str | None, collection: str | None, name: str | None = None) -> list[GoldenSet]:
        """Returns the golden sets that have a question; None: of all."""
        found = self.golden.sets.sets(tenant, collection)
        return [each for each in found if each.queries and name in (None, each.name)]

    def evaluate(self, request: EvaluationRequest) -> Evaluation | None:
        """Evaluates a golden set and records the result. None: nothing has changed since its last evaluation. Raises
        NotFound, BadRequest, Transient."""
        queries = self.golden.read(request.tenant, request.collection, request.golden_set)
        if not request.changed and self._known(request, queries):
            return None
        evaluation = self.measured(request, queries)
        return self.recorded(evaluation, accept_drop=request.accept_drop)

    def measured(
        self, request: EvaluationRequest, queries: Sequence[JudgedQuery], *, each_retriever: bool = True
    ) -> Evaluation:
        """Searches the questions as a reader who holds all groups of the tenant. Records nothing. Raises NotFound,
        BadRequest, Transient."""
        started_s = time.monotonic()
        measurement = measure(
            self.search,
            queries,
            request.collection,
            evaluator(request.tenant),
            top_k=request.top_k,
            each_retriever=each_retriever,
        )
        return self._evaluation(request, queries, measurement, time.monotonic() - started_s)

    def recorded(self, evaluation: Evaluation, *, accept_drop: bool = False) -> Evaluation:
        """Compares an evaluation with the last one that passed, and records it with the gate's result. `accept_drop`: a
        drop is approved. Raises NotFound, Transient."""
        generation = self._generation(evaluation)
        check = self._check(generation)
        if check is None:
            return self.evaluations.record(generation, evaluation, None)
        place = (generation, evaluation.tenant, evaluation.golden_set, evaluation.top_k)
        comparison = compared(evaluation, self.evaluations.baseline(*place), check, accept_drop)
        checked = replace(evaluation, comparison=comparison)
        return self.evaluations.record(generation, checked, recorded_gate(checked))

    def _evaluation(
        self, request: EvaluationRequest, queries: Sequence[JudgedQuery], measurement: Measurement, seconds: float
    ) -> Evaluation:
        [generation] = live_generations(self.collections, request.collection)
        if generation.number != measurement.generation:
            raise switched()
        judged = self._identified(generation, request.tenant, measurement.queries)
        hashes = tuple(judged_hash(str(key), judgements) for key, judgements in judged)
        return Evaluation(
            evaluation_id=UUID(int=0),  # the ledger assigns it
            tenant=request.tenant,
            collection=request.collection,
            golden_set=request.golden_set,
            golden_version=version_of(self._identified(generation, request.tenant, queries)),
            generation=generation.number,
            profile=generation.profile,
            run_id=self.evaluations.last_run(generation, request.tenant),
            orchestrator=request.orchestrator,
            evaluated_at=datetime.now(UTC),
            queries=len(measurement.queries),
            top_k=request.top_k,
            seconds=round(seconds, 3),
            hashes=hashes,
            scores=measurement.scores,
        )

    def _generation(self, evaluation: Evaluation) -> Generation:
        [generation] = live_generations(self.collections, evaluation.collection)
        if generation.number != evaluation.generation:
            raise switched()
        return generation

    def _known(self, request: EvaluationRequest, queries: Sequence[JudgedQuery]) -> bool:
        """Whether the last evaluation passed, and was of the same golden set and generation after the same run."""
        history = self.evaluations.history(request.tenant, request.collection, golden_set=request.golden_set, limit=1)
        [generation] = live_generations(self.collections, request.collection)
        if not history or (history[0].comparison is not None and history[0].comparison.result != "passed"):
            return False
        version = version_of(self._identified(generation, request.tenant, queries))
        last_run = self.evaluations.last_run(generation, request.tenant)
        now = (version, generation.number, request.top_k, last_run)
        return [(each.golden_version, each.generation, each.top_k, each.run_id) for each in history] == [now]

    def _identified(
        self, generation: Generation, tenant: str, queries: Sequence[JudgedQuery]
    ) -> list[tuple[UUID, Sequence[Judgement]]]:
        """Judgements with the questions' ids in the ledger, which do not reveal the texts."""
        return [
            (each.question_id or self.golden.question_id(generation, tenant, each.text), each.judgements)
            for each in queries
        ]

    def _check(self, generation: Generation) -> Check | None:
        rules = merged(self.everywhere, self.quality.rules(generation))
        return next((each for each in with_rules(SUITE, rules) if each.code == CHECK), None)


def evaluator(tenant: str) -> Principal:
    """Returns the reader as whom questions are searched: one who holds all groups of the tenant."""
    return Principal("evaluation", tenant, frozenset({ALL_GROUPS}))


def compared(evaluation: Evaluation, baseline: Evaluation | None, check: Check, accept_drop: bool) -> Comparison:
    """Compares the fused nDCG@10 of two evaluations, over the questions with equal hashes."""
    assert check.limit is not None
    changes = _changes(evaluation, baseline)
    if baseline is None or len(changes) < LEAST_COMPARED:
        baseline_id = None if baseline is None else baseline.evaluation_id
        return Comparison(check.action, check.limit, baseline_id, len(changes), 0, 0.0, 1.0, dropped=False)
    ndcg = metrics.differences(changes)["ndcg@10"]
    drop, p = -ndcg["difference"], ndcg["p"]
    return Comparison(
        action=check.action,
        limit=check.limit,
        baseline_id=baseline.evaluation_id,
        queries=len(changes),
        worse=int((changes[:, _MEASURED_BY] < 0).sum()),
        drop=round(drop, 6),
        p=p,
        dropped=drop > check.limit and p < SIGNIFICANT,
        accepted=accept_drop,
    )


def recorded_gate(evaluation: Evaluation) -> GateResult | None:
    """Returns the gate's result: questions compared, and (if the quality dropped) those that are worse. None: the check
    was off."""
    comparison, check = evaluation.comparison, check_of(CHECK)
    if comparison is None:
        return None
    failed = comparison.result != "passed"
    observed = {
        "code": check.code,
        "action": comparison.action,
        "golden_set": evaluation.golden_set,
        "ndcg_drop": comparison.drop,
        "p": comparison.p,
        "limit": comparison.limit,
    }
    return GateResult(
        SUITE,
        check.expectation,
        check.column,
        success=not failed,
        blocking=comparison.action == "block",
        evaluated=comparison.queries,
        unexpected=comparison.worse if failed else 0,
        observed=observed,
    )


def in_words(evaluation: Evaluation) -> str:
    """Returns the result in one line: collection, golden set, nDCG@10, and what it was compared with."""
    fused = evaluation.of(FUSED)
    low, high = fused.intervals["ndcg@10"]
    place = evaluation.collection if evaluation.tenant == "default" else f"{evaluation.tenant}/{evaluation.collection}"
    of = "files" if evaluation.golden_set == FILES else f"golden set {evaluation.golden_set}"
    line = (
        f"{place}, {of}: nDCG@10 {fused.metrics['ndcg@10']:.3f} [{low:.3f}, {high:.3f}], {evaluation.queries} questions"
    )
    return f"{line}; {comparison_in_words(evaluation.comparison)}" if evaluation.comparison else line


def comparison_in_words(comparison: Comparison) -> str:
    """Returns what the comparison with the last evaluation that passed says."""
    if comparison.baseline_id is None:
        return "nothing to compare with"
    if comparison.queries < LEAST_COMPARED:
        return f"only {comparison.queries} questions to compare, {LEAST_COMPARED} are needed"
    change = f"{-comparison.drop:+.3f} on {comparison.queries} questions (p {comparison.p:.3f})"
    if comparison.dropped and comparison.accepted:
        return f"{change}, accepted"
    return f"{change}, {comparison.result}" if comparison.dropped else change


def _changes(evaluation: Evaluation, baseline: Evaluation | None) -> NDArray[np.float64]:
    """Differences of the scores to the baseline, (common questions, len(METRICS))."""
    if baseline is None:
        return np.zeros((0, len(METRICS)))
    before = dict(zip(baseline.hashes, baseline.of(FUSED).values, strict=True))
    now = dict(zip(evaluation.hashes, evaluation.of(FUSED).values, strict=True))
    common = [key for key in now if key in before]
    if not common:
        return np.zeros((0, len(METRICS)))
    return np.array([now[key].astype(np.float64) - before[key].astype(np.float64) for key in common])
