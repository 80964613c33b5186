"""Feedback of callers on search results. It becomes a judgement when enough callers agree, or when an operator accepts
it; one caller alone cannot change what search is measured by."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from uuid import UUID

from sluice.encryption import Cipher, keyed_hash
from sluice.errors import BadRequest, NotFound, SluiceError
from sluice.model.generation import Generation
from sluice.model.golden import FEEDBACK_SET, GivenFeedback, GoldenSet, JudgedQuery, Judgement, OpenFeedback
from sluice.model.grants import Principal
from sluice.ports.catalog import Catalog
from sluice.ports.golden import Feedback
from sluice.retrieval.golden import Golden, sealed_text

HOUR_S = 3600.0
_MOST_OPEN = 10_000


class TooMuchFeedback(SluiceError):
    """A caller gave more feedback than is allowed in an hour."""


@dataclass(frozen=True, slots=True)
class Opinion:
    """A caller's opinion: how well a document, or one of its passages, answers a question. One of the ids is given."""

    query: str
    collection: str
    gain: float  # 0: not relevant
    chunk_id: UUID | None = None
    document_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class FeedbackRules:
    """`callers`: how many more must say relevant than not; 0: only an operator accepts. `per_hour`: of one caller."""

    callers: int
    per_hour: int


class HourlyCalls:
    """Counts the calls of each caller to this process in the last hour, so that re-sent opinions count, too."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._calls: dict[tuple[str, bytes], deque[float]] = {}

    def allow(self, tenant: str, caller_hash: bytes, most: int) -> bool:
        """Whether the caller may call once more; if so, the call is counted."""
        now_s = time.monotonic()
        with self._lock:
            for key, calls in list(self._calls.items()):
                while calls and calls[0] <= now_s - HOUR_S:
                    calls.popleft()
                if not calls:
                    del self._calls[key]
            calls = self._calls.get((tenant, caller_hash), deque())
            if len(calls) >= most:
                return False
            calls.append(now_s)
            self._calls[tenant, caller_hash] = calls
            return True


@dataclass(frozen=True, slots=True)
class FeedbackRecording:
    """Records feedback, and promotes it to the golden set `feedback`."""

    catalog: Catalog
    feedback: Feedback
    golden: Golden
    rules: FeedbackRules
    calls: HourlyCalls = field(default_factory=HourlyCalls)

    def give(self, opinion: Opinion, caller: Principal) -> None:
        """Records feedback of a caller who may read what it is about. The caller's earlier one on the same question and
        document is replaced. Raises NotFound, TooMuchFeedback."""
        generation = self.catalog.live(opinion.collection, caller).generation
        document_id = self._readable(opinion, caller)
        keyring = self.golden.keyring
        caller_hash = keyed_hash(keyring.index_key(caller.tenant), "caller", caller.name.encode())
        given_in_hour = self.feedback.given_since(caller.tenant, caller_hash, HOUR_S)  # also to other processes
        most = self.rules.per_hour
        if given_in_hour >= most or not self.calls.allow(caller.tenant, caller_hash, most):
            raise TooMuchFeedback(
                f"You may give feedback {self.rules.per_hour} times in an hour. Nothing was recorded. Try again later."
            )
        question_id = self.golden.question_id(generation, caller.tenant, opinion.query)

        def give(own: Mapping[UUID, Cipher]) -> OpenFeedback:
            text = sealed_text(own[question_id], opinion.query)
            given = GivenFeedback(question_id, text, document_id, opinion.chunk_id, opinion.gain, caller_hash)
            return self.feedback.give(generation, caller.tenant, given)

        support = self.golden.with_keys(caller.tenant, [question_id], give)
        if self.rules.callers and support.gain > 0 and support.balance >= self.rules.callers:
            if support.judged:
                self.feedback.decide(generation, caller.tenant, question_id, document_id, "accepted")
                return
            self._promote(generation, caller.tenant, support)

    def open(self, tenant: str, collection: str, limit: int = _MOST_OPEN) -> list[tuple[OpenFeedback, str]]:
        """Returns feedback that is not decided, the most supported first, with the questions."""
        found = self.feedback.open(tenant, collection, limit)
        texts = self.golden.text_of(tenant, found)
        return [(each, texts[each.question_id]) for each in found if each.question_id in texts]

    def accept(self, generation: Generation, tenant: str, question_id: UUID) -> GoldenSet:
        """Adds all open feedback on a question that says relevant to the golden set `feedback`, and marks all of the
        question as accepted. Raises NotFound, and BadRequest where the question cannot be decrypted."""
        found = self._of(generation, tenant, question_id)
        if not any(each.gain > 0 for each in found):
            raise NotFound(
                f"No caller said that a document is relevant to question {question_id}. Nothing was changed."
            )
        if question_id not in self.golden.text_of(tenant, found[:1]):
            raise BadRequest(
                f"Question {question_id} cannot be decrypted, because its key is missing. Nothing was changed. Reject "
                f"it: sluice golden reject {question_id}"
            )
        for each in found:
            if each.gain > 0:
                self._promote(generation, tenant, each)
            else:
                self.feedback.decide(generation, tenant, question_id, each.document_id, "accepted")
        return self.golden.find(tenant, generation.collection, FEEDBACK_SET)

    def reject(self, generation: Generation, tenant: str, question_id: UUID) -> int:
        """Marks all open feedback on a question as rejected. Returns the number of callers' opinions."""
        found = self._of(generation, tenant, question_id)
        return sum(
            self.feedback.decide(generation, tenant, question_id, each.document_id, "rejected") for each in found
        )

    def _of(self, generation: Generation, tenant: str, question_id: UUID) -> list[OpenFeedback]:
        found = self.feedback.open(tenant, generation.collection, _MOST_OPEN, [question_id])
        if not found:
            raise NotFound(
                f"There is no open feedback on question {question_id}. `sluice golden feedback` lists the questions."
            )
        return found

    def _readable(self, opinion: Opinion, caller: Principal) -> UUID:
        """The document that the caller may read now in this collection. Raises NotFound."""
        if opinion.chunk_id is not None:
            passage = self.catalog.lineage(caller, opinion.chunk_id)
            document_id, collection, version = passage.document_id, passage.collection, passage.version
        else:
            assert opinion.document_id is not None
            document = self.catalog.document(caller, opinion.document_id)
            document_id, collection = document.document_id, document.collection
            version = document.version or 0
        if collection != opinion.collection or not version or opinion.document_id not in (None, document_id):
            raise NotFound(f"Collection {opinion.collection} serves no such document or passage that you may read.")
        return document_id

    def _promote(self, generation: Generation, tenant: str, support: OpenFeedback) -> None:
        texts = self.golden.text_of(tenant, [support])
        if support.question_id not in texts:
            return
        judgement = Judgement(support.external_id, support.gain, support.document_id)
        query = JudgedQuery(str(support.question_id), texts[support.question_id], (judgement,), "feedback")
        self.golden.add(generation, tenant, FEEDBACK_SET, [query])
        self.feedback.decide(generation, tenant, support.question_id, support.document_id, "accepted")
