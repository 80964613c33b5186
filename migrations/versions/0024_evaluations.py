"""Golden sets, feedback of callers, and evaluations of search."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

_MOMENT = sa.TIMESTAMP(timezone=True)
_TABLES = (
    "evaluation_scores",
    "evaluations",
    "feedback",
    "golden_judgements",
    "golden_queries",
    "golden_sets",
    "questions",
)


def upgrade() -> None:
    _golden_sets()
    _feedback()
    _evaluations()


def downgrade() -> None:
    for table in _TABLES:
        op.drop_table(table)


def _golden_sets() -> None:
    op.create_table(
        "questions",
        _column("question_id", sa.Uuid(), "Derived from the collection and a keyed hash of the text."),
        *_owner(),
        _column("sealed_text", sa.LargeBinary(), "Text, encrypted under the question's key."),
        _column("used_at", _MOMENT, "When it was last added to something.", default="now()"),
        *_owner_keys("questions"),
        sa.PrimaryKeyConstraint("question_id", name="pk_questions"),
        comment="Questions of golden sets and of feedback. Each has its own key, which has the question's id.",
    )
    op.create_index("ix_questions_used", "questions", ["used_at"])
    op.create_table(
        "golden_sets",
        _id("golden_set_id"),
        *_owner(),
        _column("name", sa.Text(), "Name within the tenant's collection."),
        _column("created_at", _MOMENT, "When the set was made.", default="now()"),
        _column("changed_at", _MOMENT, "When it was last added to.", default="now()"),
        sa.CheckConstraint("name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'", name=op.f("ck_golden_sets_name")),
        *_owner_keys("golden_sets"),
        sa.PrimaryKeyConstraint("golden_set_id", name="pk_golden_sets"),
        sa.UniqueConstraint("tenant_id", "collection_id", "name", name="uq_golden_sets_tenant_id_collection_id_name"),
        comment="Named sets of questions with judgements, by which search is evaluated.",
    )
    op.create_table(
        "golden_queries",
        _column("golden_set_id", sa.Uuid(), "The golden set."),
        _column("question_id", sa.Uuid(), "The question."),
        _column("collection_id", sa.Uuid(), "The collection."),
        _column("sealed_name", sa.LargeBinary(), "Its id in the imported file, encrypted under its key."),
        _column("origin", sa.Text(), "manual, import or feedback."),
        _column("added_at", _MOMENT, "When it was added.", default="now()"),
        sa.CheckConstraint("origin IN ('manual', 'import', 'feedback')", name=op.f("ck_golden_queries_origin")),
        _key("golden_queries", "golden_set_id", "golden_sets.golden_set_id"),
        _key("golden_queries", "question_id", "questions.question_id"),
        _key("golden_queries", "collection_id", "collections.collection_id"),
        sa.PrimaryKeyConstraint("golden_set_id", "question_id", name="pk_golden_queries"),
        comment="Questions of golden sets.",
    )
    op.create_index("ix_golden_queries_question", "golden_queries", ["question_id"])
    _judgements()


def _judgements() -> None:
    op.create_table(
        "golden_judgements",
        _id("judgement_id"),
        _column("golden_set_id", sa.Uuid(), "The golden set."),
        _column("question_id", sa.Uuid(), "The question."),
        _column("collection_id", sa.Uuid(), "The collection."),
        _column("external_id", sa.Text(), "Name of the document within its source, as it was judged."),
        _column("document_id", sa.Uuid(), "The document; null: no document, or several, had this name.", nullable=True),
        _column("gain", sa.Double(), "Relevance; 0: not relevant."),
        sa.CheckConstraint("gain >= 0 AND gain <= 1000", name=op.f("ck_golden_judgements_gain")),
        sa.ForeignKeyConstraint(
            ["golden_set_id", "question_id"],
            ["golden_queries.golden_set_id", "golden_queries.question_id"],
            name="fk_golden_judgements_query",
        ),
        _key("golden_judgements", "collection_id", "collections.collection_id"),
        _key("golden_judgements", "document_id", "documents.document_id"),
        sa.PrimaryKeyConstraint("judgement_id", name="pk_golden_judgements"),
        comment="How well documents answer the questions of golden sets; deleted with the document.",
    )
    op.create_index("ix_golden_judgements_query", "golden_judgements", ["golden_set_id", "question_id"])
    op.create_index(
        "ix_golden_judgements_document",
        "golden_judgements",
        ["document_id"],
        postgresql_where=sa.text("document_id IS NOT NULL"),
    )


def _feedback() -> None:
    op.create_table(
        "feedback",
        _id("feedback_id"),
        _column("question_id", sa.Uuid(), "The question."),
        *_owner(),
        _column("document_id", sa.Uuid(), "The document."),
        _column("chunk_id", sa.Uuid(), "The passage; null: the document as a whole.", nullable=True),
        _column("gain", sa.Double(), "Relevance; 0: not relevant."),
        _column("caller_hash", sa.LargeBinary(), "Keyed hash of the caller's name."),
        _column("state", sa.Text(), "open, accepted (in a golden set) or rejected.", default="'open'"),
        _column("given_at", _MOMENT, "When it was given.", default="now()"),
        sa.CheckConstraint("gain >= 0 AND gain <= 1000", name=op.f("ck_feedback_gain")),
        sa.CheckConstraint("state IN ('open', 'accepted', 'rejected')", name=op.f("ck_feedback_state")),
        sa.CheckConstraint("octet_length(caller_hash) = 20", name=op.f("ck_feedback_caller_hash")),
        _key("feedback", "question_id", "questions.question_id"),
        *_owner_keys("feedback"),
        _key("feedback", "document_id", "documents.document_id"),
        sa.PrimaryKeyConstraint("feedback_id", name="pk_feedback"),
        sa.UniqueConstraint(
            "question_id", "document_id", "caller_hash", name="uq_feedback_question_id_document_id_caller_hash"
        ),
        comment="What callers said of documents that a search returned; deleted with the document.",
    )
    op.create_index("ix_feedback_caller", "feedback", ["tenant_id", "caller_hash", "given_at"])
    op.create_index("ix_feedback_document", "feedback", ["document_id"])
    op.create_index("ix_feedback_given", "feedback", ["given_at"])


def _evaluations() -> None:
    op.create_table(
        "evaluations",
        _id("evaluation_id"),
        *_owner(),
        _column("golden_set", sa.Text(), "Name of the golden set; files: an evaluation of files."),
        _column("golden_version", sa.Text(), "Hash of the questions and judgements."),
        _column("generation", sa.Integer(), "The generation that was searched."),
        _column("chunker", sa.Text(), "Profile of the generation."),
        _column("embedder", sa.Text(), "Profile of the generation."),
        _column("entities", sa.Text(), "Profile of the generation."),
        _column("dim", sa.Integer(), "Components of a dense vector."),
        _column(
            "run_id",
            sa.Uuid(),
            "The run that had changed the collection last; it may have been pruned, so there is no foreign key.",
            nullable=True,
        ),
        _column("orchestrator", sa.Text(), "Who evaluated; null: the command line.", nullable=True),
        _column("queries", sa.Integer(), "Questions that were searched."),
        _column("top_k", sa.Integer(), "Passages of each search."),
        _column("seconds", sa.Double(), "Wall time."),
        _column(
            "hashes", sa.LargeBinary(), "16 bytes of each question: equal where question and judgements are equal."
        ),
        _column(
            "comparison",
            JSONB(),
            "The check quality_drop: baseline, drop, p, limit, action, result; null: it was off.",
            nullable=True,
        ),
        _column("evaluated_at", _MOMENT, "When it was recorded.", default="now()"),
        sa.CheckConstraint("queries >= 1 AND top_k >= 1", name=op.f("ck_evaluations_counts")),
        sa.CheckConstraint("octet_length(hashes) = 16 * queries", name=op.f("ck_evaluations_hashes")),
        *_owner_keys("evaluations"),
        sa.PrimaryKeyConstraint("evaluation_id", name="pk_evaluations"),
        comment="Evaluations of search on golden sets.",
    )
    op.create_index(
        "ix_evaluations_history", "evaluations", ["collection_id", "tenant_id", "golden_set", "evaluation_id"]
    )
    op.create_table(
        "evaluation_scores",
        _column("evaluation_id", sa.Uuid(), "The evaluation."),
        _column("retriever", sa.Text(), "Name of the retriever; fused: all together."),
        _column("collection_id", sa.Uuid(), "The collection."),
        _column("metrics", JSONB(), "Means by name: ndcg@10, recall@10, mrr, all_gold@10."),
        _column("intervals", JSONB(), "95 % bootstrap intervals by name: [low, high]."),
        _column("latency_p50_ms", sa.Double(), "Median time of a search."),
        _column("latency_p95_ms", sa.Double(), "95th percentile of the time of a search."),
        _column("scores", sa.LargeBinary(), "The four metrics of each question, float32, in the order of hashes."),
        sa.CheckConstraint("octet_length(scores) % 16 = 0", name=op.f("ck_evaluation_scores_scores")),
        _key("evaluation_scores", "evaluation_id", "evaluations.evaluation_id"),
        _key("evaluation_scores", "collection_id", "collections.collection_id"),
        sa.PrimaryKeyConstraint("evaluation_id", "retriever", name="pk_evaluation_scores"),
        comment="Metrics of an evaluation by retriever.",
    )


# --- parts of tables ----------------------------------------------------------------------------------------------


def _column(
    name: str, kind: Any, comment: str, *, default: str | None = None, nullable: bool = False
) -> sa.Column[Any]:
    server_default = None if default is None else sa.text(default)
    return sa.Column(name, kind, server_default=server_default, nullable=nullable, comment=comment)


def _id(name: str) -> sa.Column[Any]:
    return _column(name, sa.Uuid(), "Assigned by the ledger.", default="uuidv7()")


def _owner() -> tuple[sa.Column[Any], sa.Column[Any]]:
    return (
        _column("tenant_id", sa.Text(), "Who it belongs to."),
        _column("collection_id", sa.Uuid(), "The collection."),
    )


def _owner_keys(table: str) -> tuple[sa.ForeignKeyConstraint, sa.ForeignKeyConstraint]:
    return (
        _key(table, "tenant_id", "tenants.tenant_id"),
        _key(table, "collection_id", "collections.collection_id"),
    )


def _key(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [target], name=f"fk_{table}_{column}")
