"""Learns the weights of a tenant's searches in a collection from its golden sets.

Weights are used only if they are better on questions that they were not fitted to (cross-validation), by more than
chance explains. They belong to the generation: after a reindex with other embeddings they are learned anew.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sluice.errors import BadRequest, NotFound
from sluice.maintenance.evaluation import evaluator
from sluice.model.catalog import Live
from sluice.model.golden import JudgedQuery
from sluice.model.grants import Principal
from sluice.model.weights import DEFAULT, LearnedWeights, Weights
from sluice.ports.catalog import Catalog
from sluice.ports.evaluations import Evaluations
from sluice.retrieval.golden import Golden
from sluice.retrieval.judged_candidates import JudgedCandidates
from sluice.retrieval.weight_fitting import fit

LEAST_QUESTIONS = 30  # with a relevant document; fewer say too little
MOST_QUESTIONS = 1000  # a sample of more
LEAST_GAIN = 0.002  # nDCG@10 of weights that are used
MOST_P = 0.01  # their p; less than for a drop, because weights are fitted again and again, and chance would find some
Judge = Callable[[Live, str, JudgedQuery, Principal], JudgedCandidates | None]


@dataclass(frozen=True, slots=True)
class Tuned:
    """Result of learning. `weights`: in use now. `learned`: what was fitted, with its evidence; None: there were too
    few questions."""

    collection: str
    questions: int
    before: Weights
    weights: Weights
    learned: LearnedWeights | None

    @property
    def changed(self) -> bool:
        return self.weights != self.before

    def in_words(self) -> str:
        """Returns the result in one line."""
        if self.learned is None:
            need = f"{self.questions} questions have a relevant document, {LEAST_QUESTIONS} are needed"
            return f"{self.collection}: {need}; {'the default' if self.changed else 'unchanged'} weights"
        gain = f"{self.learned.gain:+.3f} nDCG@10 on questions that were left out (p {self.learned.p:.3f})"
        names = ", ".join(f"{name} {value:g}" for name, value in self.weights.to_json().items())
        return f"{self.collection}: {gain}; {'new' if self.changed else 'unchanged'} weights: {names}"

    def to_json(self) -> dict[str, Any]:
        """Returns the result as JSON values."""
        return {
            "collection": self.collection,
            "questions": self.questions,
            "changed": self.changed,
            "before": self.before.to_json(),
            "weights": self.weights.to_json(),
            "learned": None if self.learned is None else self.learned.to_json(),
        }


@dataclass(frozen=True, slots=True)
class Tuning:
    """Learns and forgets weights."""

    catalog: Catalog
    golden: Golden
    evaluations: Evaluations
    judge: Judge

    def learn(self, tenant: str, collection: str) -> Tuned:
        """Fits the weights to all golden sets of the tenant's collection, and uses them if they are better. Without
        enough questions, the default weights are used again. Raises NotFound, Transient."""
        reader = evaluator(tenant)
        live = self.catalog.live(collection, reader)
        queries = self._queries(tenant, collection)
        number, before = len(queries), live.weights
        if number < LEAST_QUESTIONS:
            self.evaluations.forget_weights(live.generation, tenant)
            return Tuned(collection, number, before, DEFAULT, None)
        judged = [self.judge(live, collection, each, reader) for each in queries]
        found = [each for each in judged if each is not None]
        if len(found) < LEAST_QUESTIONS:
            raise BadRequest(
                f"Only {len(found)} of {number} questions find a passage; {LEAST_QUESTIONS} are needed. Nothing was "
                "changed. Look at the questions: sluice golden show."
            )
        fitted = fit(found, before)
        learned = LearnedWeights(fitted.weights, len(found), round(fitted.gain, 6), fitted.p)
        if fitted.gain < LEAST_GAIN or fitted.p >= MOST_P:
            return Tuned(collection, number, before, before, learned)
        self.evaluations.learn_weights(live.generation, tenant, learned)
        return Tuned(collection, number, before, fitted.weights, learned)

    def reset(self, tenant: str, collection: str) -> Tuned:
        """Uses the default weights again. Raises NotFound."""
        live = self.catalog.live(collection, evaluator(tenant))
        self.evaluations.forget_weights(live.generation, tenant)
        return Tuned(collection, 0, live.weights, DEFAULT, None)

    def _queries(self, tenant: str, collection: str) -> list[JudgedQuery]:
        """The questions with a relevant document, each once; a sample of many, which is the same each time."""
        by_text: dict[str, JudgedQuery] = {}
        for each in self.golden.sets.sets(tenant, collection):
            try:
                queries = self.golden.read(tenant, collection, each.name)
            except NotFound:  # removed meanwhile, or without a question
                continue
            for query in queries:
                if query.has_relevant:
                    by_text.setdefault(query.text, query)
        found = [by_text[text] for text in sorted(by_text)]
        return found if len(found) <= MOST_QUESTIONS else random.Random(0).sample(found, MOST_QUESTIONS)
