"""Golden sets, feedback and evaluations."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from sluice.adapters.postgres.tables.base import LedgerBase, LedgerId, Moment, OfDocument


def _tenant() -> Mapped[str]:
    return mapped_column(ForeignKey("tenants.tenant_id"), comment="Who it belongs to.")


def _collection() -> Mapped[UUID]:
    return mapped_column(ForeignKey("collections.collection_id"), comment="The collection.")


class QuestionRow(LedgerBase):
    __tablename__ = "questions"
    __table_args__ = (
        Index("ix_questions_used", "used_at"),
        {"comment": "Questions of golden sets and of feedback. Each has its own key, which has the question's id."},
    )

    question_id: Mapped[UUID] = mapped_column(
        primary_key=True, comment="Derived from the collection and a keyed hash of the text."
    )
    tenant_id: Mapped[str] = _tenant()
    collection_id: Mapped[UUID] = _collection()
    sealed_text: Mapped[bytes] = mapped_column(comment="Text, encrypted under the question's key.")
    used_at: Mapped[datetime] = mapped_column(server_default=func.now(), comment="When it was last added to something.")


class GoldenSetRow(LedgerBase):
    __tablename__ = "golden_sets"
    __table_args__ = (
        CheckConstraint("name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'", name="name"),
        UniqueConstraint("tenant_id", "collection_id", "name"),
        {"comment": "Named sets of questions with judgements, by which search is evaluated."},
    )

    golden_set_id: Mapped[LedgerId]
    tenant_id: Mapped[str] = _tenant()
    collection_id: Mapped[UUID] = _collection()
    name: Mapped[str] = mapped_column(comment="Name within the tenant's collection.")
    created_at: Mapped[Moment] = mapped_column(comment="When the set was made.")
    changed_at: Mapped[datetime] = mapped_column(server_default=func.now(), comment="When it was last added to.")


class GoldenQueryRow(LedgerBase):
    __tablename__ = "golden_queries"
    __table_args__ = (
        CheckConstraint("origin IN ('manual', 'import', 'feedback')", name="origin"),
        Index("ix_golden_queries_question", "question_id"),
        {"comment": "Questions of golden sets."},
    )

    golden_set_id: Mapped[UUID] = mapped_column(
        ForeignKey("golden_sets.golden_set_id"), primary_key=True, comment="The golden set."
    )
    question_id: Mapped[UUID] = mapped_column(
        ForeignKey("questions.question_id"), primary_key=True, comment="The question."
    )
    collection_id: Mapped[UUID] = _collection()
    sealed_name: Mapped[bytes] = mapped_column(comment="Its id in the imported file, encrypted under its key.")
    origin: Mapped[str] = mapped_column(comment="manual, import or feedback.")
    added_at: Mapped[Moment] = mapped_column(comment="When it was added.")


class GoldenJudgementRow(LedgerBase):
    __tablename__ = "golden_judgements"
    __table_args__ = (
        CheckConstraint("gain >= 0 AND gain <= 1000", name="gain"),
        ForeignKeyConstraint(
            ["golden_set_id", "question_id"],
            ["golden_queries.golden_set_id", "golden_queries.question_id"],
            name="fk_golden_judgements_query",
        ),
        Index("ix_golden_judgements_query", "golden_set_id", "question_id"),
        Index("ix_golden_judgements_document", "document_id", postgresql_where=text("document_id IS NOT NULL")),
        {"comment": "How well documents answer the questions of golden sets; deleted with the document."},
    )

    judgement_id: Mapped[LedgerId]
    golden_set_id: Mapped[UUID] = mapped_column(comment="The golden set.")
    question_id: Mapped[UUID] = mapped_column(comment="The question.")
    collection_id: Mapped[UUID] = _collection()
    external_id: Mapped[str] = mapped_column(comment="Name of the document within its source, as it was judged.")
    document_id: Mapped[OfDocument | None] = mapped_column(
        comment="The document; null: no document, or several, had this name."
    )
    gain: Mapped[float] = mapped_column(Double(), comment="Relevance; 0: not relevant.")


class FeedbackRow(LedgerBase):
    __tablename__ = "feedback"
    __table_args__ = (
        CheckConstraint("gain >= 0 AND gain <= 1000", name="gain"),
        CheckConstraint("state IN ('open', 'accepted', 'rejected')", name="state"),
        CheckConstraint("octet_length(caller_hash) = 20", name="caller_hash"),
        UniqueConstraint("question_id", "document_id", "caller_hash"),
        Index("ix_feedback_caller", "tenant_id", "caller_hash", "given_at"),
        Index("ix_feedback_document", "document_id"),
        Index("ix_feedback_given", "given_at"),
        {"comment": "What callers said of documents that a search returned; deleted with the document."},
    )

    feedback_id: Mapped[LedgerId]
    question_id: Mapped[UUID] = mapped_column(ForeignKey("questions.question_id"), comment="The question.")
    tenant_id: Mapped[str] = _tenant()
    collection_id: Mapped[UUID] = _collection()
    document_id: Mapped[OfDocument] = mapped_column(comment="The document.")
    chunk_id: Mapped[UUID | None] = mapped_column(comment="The passage; null: the document as a whole.")
    gain: Mapped[float] = mapped_column(Double(), comment="Relevance; 0: not relevant.")
    caller_hash: Mapped[bytes] = mapped_column(comment="Keyed hash of the caller's name.")
    state: Mapped[str] = mapped_column(
        server_default=text("'open'"), comment="open, accepted (in a golden set) or rejected."
    )
    given_at: Mapped[Moment] = mapped_column(comment="When it was given.")


class EvaluationRow(LedgerBase):
    __tablename__ = "evaluations"
    __table_args__ = (
        CheckConstraint("queries >= 1 AND top_k >= 1", name="counts"),
        CheckConstraint("octet_length(hashes) = 16 * queries", name="hashes"),
        Index("ix_evaluations_history", "collection_id", "tenant_id", "golden_set", "evaluation_id"),
        {"comment": "Evaluations of search on golden sets."},
    )

    evaluation_id: Mapped[LedgerId]
    tenant_id: Mapped[str] = _tenant()
    collection_id: Mapped[UUID] = _collection()
    golden_set: Mapped[str] = mapped_column(comment="Name of the golden set; files: an evaluation of files.")
    golden_version: Mapped[str] = mapped_column(comment="Hash of the questions and judgements.")
    generation: Mapped[int] = mapped_column(comment="The generation that was searched.")
    chunker: Mapped[str] = mapped_column(comment="Profile of the generation.")
    embedder: Mapped[str] = mapped_column(comment="Profile of the generation.")
    entities: Mapped[str] = mapped_column(comment="Profile of the generation.")
    dim: Mapped[int] = mapped_column(comment="Components of a dense vector.")
    run_id: Mapped[UUID | None] = mapped_column(
        comment="The run that had changed the collection last; it may have been pruned, so there is no foreign key."
    )
    orchestrator: Mapped[str | None] = mapped_column(comment="Who evaluated; null: the command line.")
    queries: Mapped[int] = mapped_column(comment="Questions that were searched.")
    top_k: Mapped[int] = mapped_column(comment="Passages of each search.")
    seconds: Mapped[float] = mapped_column(Double(), comment="Wall time.")
    hashes: Mapped[bytes] = mapped_column(
        comment="16 bytes of each question: equal where question and judgements are equal."
    )
    comparison: Mapped[dict[str, Any] | None] = mapped_column(
        comment="The check quality_drop: baseline, drop, p, limit, action, result; null: it was off."
    )
    evaluated_at: Mapped[Moment] = mapped_column(comment="When it was recorded.")


class EvaluationScoreRow(LedgerBase):
    __tablename__ = "evaluation_scores"
    __table_args__ = (
        CheckConstraint("octet_length(scores) % 16 = 0", name="scores"),
        {"comment": "Metrics of an evaluation by retriever."},
    )

    evaluation_id: Mapped[UUID] = mapped_column(
        ForeignKey("evaluations.evaluation_id"), primary_key=True, comment="The evaluation."
    )
    retriever: Mapped[str] = mapped_column(primary_key=True, comment="Name of the retriever; fused: all together.")
    collection_id: Mapped[UUID] = _collection()
    metrics: Mapped[dict[str, Any]] = mapped_column(comment="Means by name: ndcg@10, recall@10, mrr, all_gold@10.")
    intervals: Mapped[dict[str, Any]] = mapped_column(comment="95 % bootstrap intervals by name: [low, high].")
    latency_p50_ms: Mapped[float] = mapped_column(Double(), comment="Median time of a search.")
    latency_p95_ms: Mapped[float] = mapped_column(Double(), comment="95th percentile of the time of a search.")
    scores: Mapped[bytes] = mapped_column(comment="The four metrics of each question, float32, in the order of hashes.")


class SearchWeightsRow(LedgerBase):
    __tablename__ = "search_weights"
    __table_args__ = (
        CheckConstraint("dense >= 0 AND dense <= 1", name="dense"),
        {
            "comment": "Weights of a tenant's searches that were learned from its golden sets; without a row: the "
            "default."
        },
    )

    collection_id: Mapped[UUID] = mapped_column(
        ForeignKey("collections.collection_id"), primary_key=True, comment="The collection."
    )
    generation: Mapped[int] = mapped_column(primary_key=True, comment="The generation that was searched.")
    tenant_id: Mapped[str] = mapped_column(
        ForeignKey("tenants.tenant_id"), primary_key=True, comment="Whose judgements they were, and whose searches."
    )
    dense: Mapped[float] = mapped_column(Double(), comment="Share of the dense retriever in the fused score.")
    pairs: Mapped[float] = mapped_column(Double(), comment="Weight of pairs of words.")
    resemblance: Mapped[float] = mapped_column(Double(), comment="Weight of similar passages.")
    metadata_: Mapped[float] = mapped_column(
        "metadata", Double(), comment="Weight of metadata that the question names."
    )
    queries: Mapped[int] = mapped_column(comment="Questions from which they were learned.")
    gain: Mapped[float] = mapped_column(Double(), comment="Of nDCG@10 on questions that were left out.")
    p: Mapped[float] = mapped_column(Double(), comment="Probability of such a gain by chance.")
    learned_at: Mapped[Moment] = mapped_column(comment="When they were learned.")
