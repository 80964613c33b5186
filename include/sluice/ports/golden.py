"""Golden sets and feedback in the ledger."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol
from uuid import UUID

from sluice.model.generation import Generation
from sluice.model.golden import GivenFeedback, GoldenSet, OpenFeedback, StoredQuery


class GoldenSets(Protocol):
    """Questions with judgements, by tenant, collection and name. Texts are encrypted under the questions' keys."""

    def sets(self, tenant: str | None = None, collection: str | None = None) -> list[GoldenSet]:
        """Returns the golden sets, by tenant, collection and name. None: of all."""

    def queries(self, tenant: str, collection: str, name: str) -> list[StoredQuery]:
        """Returns the questions of a golden set that have a judgement, by id. Raises NotFound."""

    def documents(self, generation: Generation, tenant: str, external_ids: Sequence[str]) -> dict[str, UUID]:
        """Returns the ids of the tenant's living documents by external id, without those that several have."""

    def names_of(self, generation: Generation, tenant: str, document_ids: Sequence[UUID]) -> dict[UUID, str]:
        """Returns the external ids of the tenant's living documents of this collection."""

    def add(
        self, generation: Generation, tenant: str, name: str, queries: Sequence[StoredQuery], *, replace: bool = False
    ) -> GoldenSet:
        """Adds questions to a golden set, and creates it where it is missing. A question that is there keeps its other
        judgements; a judgement of the same document replaces the earlier one. `replace`: earlier questions of the set
        are removed. Raises BadRequest where it would hold too many questions."""

    def remove(self, golden_set: GoldenSet, question_ids: Sequence[UUID] | None = None) -> list[UUID]:
        """Removes questions from a golden set; None: the whole set. Returns the questions that nothing uses any more,
        for `forget`."""

    def of_tenant(self, generation: Generation, tenant: str | None) -> list[UUID]:
        """Returns the questions of a collection, of one tenant or of all (None)."""

    def remove_tenant(self, generation: Generation, tenant: str) -> None:
        """Removes a tenant's golden sets, feedback, questions and evaluations of a collection."""

    def forget(self, question_ids: Sequence[UUID], destroy: Callable[[Sequence[UUID]], object]) -> int:
        """Deletes those questions that nothing uses, after `destroy` has destroyed their keys. Until both are done,
        nobody can begin to use one of them. Returns their number."""


class Feedback(Protocol):
    """What callers said of documents that a search returned."""

    def given_since(self, tenant: str, caller_hash: bytes, seconds: float) -> int:
        """Counts the opinions that a caller gave in this time; one that was replaced counts once."""

    def give(self, generation: Generation, tenant: str, feedback: GivenFeedback) -> OpenFeedback:
        """Records feedback; the same caller's earlier one on the same question and document is replaced, and stays
        decided if it was. Returns what all callers said of them. Raises NotFound where the document was deleted."""

    def open(
        self, tenant: str, collection: str, limit: int, question_ids: Sequence[UUID] | None = None
    ) -> list[OpenFeedback]:
        """Returns feedback that is not decided yet, the most supported first. `question_ids`: only on these."""

    def decide(self, generation: Generation, tenant: str, question_id: UUID, document_id: UUID, state: str) -> int:
        """Marks the feedback on a question and document as `accepted` or `rejected`. Returns the number of callers."""
