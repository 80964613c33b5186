"""Feedback of callers on PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from uuid import UUID

from sqlalchemy import text

from sluice.adapters.postgres.collections import check_not_dropping
from sluice.adapters.postgres.golden import QUESTION
from sluice.adapters.postgres.transactions import Transactions
from sluice.errors import NotFound
from sluice.model.generation import Generation
from sluice.model.golden import FEEDBACK_SET, GivenFeedback, OpenFeedback

GIVEN_SINCE = text("""
    SELECT count(*) FROM feedback WHERE tenant_id = :tenant AND caller_hash = :caller_hash
      AND given_at > now() - make_interval(secs => :seconds)
""")
_GIVE = text("""
    INSERT INTO feedback (question_id, tenant_id, collection_id, document_id, chunk_id, gain, caller_hash)
    VALUES (:question_id, :tenant, :collection_id, :document_id, :chunk_id, :gain, :caller_hash)
    ON CONFLICT (question_id, document_id, caller_hash) DO UPDATE
    SET gain = excluded.gain, chunk_id = excluded.chunk_id, given_at = now(),
        state = CASE WHEN feedback.state = 'accepted' AND (feedback.gain > 0) <> (excluded.gain > 0) THEN 'open'
                     ELSE feedback.state END
""")
# A deletion waits for the lock, and then deletes the feedback, too; or it was first, and there is no row.
_DOCUMENT = text("""
    SELECT document_id FROM documents
    WHERE document_id = :document_id AND collection_id = :collection_id AND tenant_id = :tenant
      AND deleted_at IS NULL AND removed_at IS NULL AND purged_hash IS NULL FOR SHARE
""")
# What all callers said, open or accepted: an accepted judgement does not silence those who came later.
_OPEN = """
    SELECT f.question_id, x.sealed_text, f.document_id, d.external_id,
           count(*) FILTER (WHERE f.gain > 0 AND f.state <> 'rejected') AS relevant,
           count(*) FILTER (WHERE f.gain = 0 AND f.state <> 'rejected') AS irrelevant,
           coalesce(min(f.gain) FILTER (WHERE f.gain > 0 AND f.state <> 'rejected'), 0) AS gain,
           max(f.given_at) AS last_at,
           EXISTS (SELECT FROM golden_judgements j JOIN golden_sets s USING (golden_set_id)
                   WHERE j.document_id = f.document_id AND j.question_id = f.question_id
                     AND s.name = '{1}') AS judged
    FROM feedback f JOIN questions x USING (question_id) JOIN documents d USING (document_id)
    WHERE {0}
    GROUP BY f.question_id, x.sealed_text, f.document_id, d.external_id
"""
_ONE = text(_OPEN.format("f.question_id = :question_id AND f.document_id = :document_id", FEEDBACK_SET))
_IN_COLLECTION = """
    f.tenant_id = :tenant AND f.collection_id = (SELECT collection_id FROM collections WHERE name = :collection)
    AND (CAST(:ids AS uuid[]) IS NULL OR f.question_id = ANY(CAST(:ids AS uuid[])))
"""
_ALL = text(f"""
    SELECT * FROM ({_OPEN.format(_IN_COLLECTION, FEEDBACK_SET)} HAVING bool_or(f.state = 'open')) o
    ORDER BY relevant - irrelevant DESC, last_at DESC, question_id, document_id LIMIT :limit
""")
_DECIDE = text("""
    UPDATE feedback SET state = :state WHERE tenant_id = :tenant AND collection_id = :collection_id
      AND question_id = :question_id AND document_id = :document_id AND state = 'open'
""")


class PostgresFeedback(Transactions):
    """`sluice.ports.golden.Feedback`."""

    def given_since(self, tenant: str, caller_hash: bytes, seconds: float) -> int:
        return int(self._value(GIVEN_SINCE, {"tenant": tenant, "caller_hash": caller_hash, "seconds": seconds}))

    def give(self, generation: Generation, tenant: str, feedback: GivenFeedback) -> OpenFeedback:
        values = {**asdict(feedback), "tenant": tenant, "collection_id": generation.collection_id}
        with self._transaction() as connection:
            check_not_dropping(connection, generation)
            if connection.execute(_DOCUMENT, values).one_or_none() is None:
                raise NotFound(f"Document {feedback.document_id} was deleted. Nothing was recorded.")
            connection.execute(QUESTION, values)
            connection.execute(_GIVE, values)
            return OpenFeedback(**connection.execute(_ONE, values).one()._mapping)

    def open(
        self, tenant: str, collection: str, limit: int, question_ids: Sequence[UUID] | None = None
    ) -> list[OpenFeedback]:
        ids = None if question_ids is None else list(question_ids)
        values = {"tenant": tenant, "collection": collection, "limit": limit, "ids": ids}
        return [OpenFeedback(**row._mapping) for row in self._rows(_ALL, values)]

    def decide(self, generation: Generation, tenant: str, question_id: UUID, document_id: UUID, state: str) -> int:
        values = {"tenant": tenant, "collection_id": generation.collection_id, "state": state}
        return self._execute(_DECIDE, {**values, "question_id": question_id, "document_id": document_id})
