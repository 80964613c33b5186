"""Requested deletions, and views of who may read what."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

# view → (what it is, its columns with their expressions and comments, where they come from)
VIEWS: dict[str, tuple[str, dict[str, tuple[str, str]], str]] = {
    "grants": (
        "What each caller may do in each tenant.",
        {
            "principal": ("principal", "Airflow user name."),
            "tenant": ("tenant_id", "The tenant it is about."),
            "access_groups": ("access_groups", "Groups held there; *: all."),
            "may_write": ("may_write", "Whether ingests and deletions are allowed."),
            "created_at": ("created_at", "When it was first granted."),
        },
        "grants",
    ),
    "readers": (
        "Who may read the documents of each source.",
        {
            "tenant": ("s.tenant_id", "Who the source belongs to."),
            "collection": ("c.name", "Where its documents are served."),
            "source_uri": ("s.uri", "The source."),
            "access_groups": ("s.access_groups", "Groups that may read it; empty: everyone in the tenant."),
            "principal": ("g.principal", "A caller who may read it."),
            "may_write": ("g.may_write", "Whether the caller may write to the tenant."),
        },
        "sources s JOIN collections c USING (collection_id) JOIN grants g ON g.tenant_id = s.tenant_id "
        "AND (s.access_groups = '{}' OR g.access_groups && s.access_groups OR '*' = ANY (g.access_groups)) "
        # One that was removed by hand is there as long as its documents are.
        "WHERE s.removed_at IS NULL OR EXISTS (SELECT FROM documents d WHERE d.source_id = s.source_id "
        "AND d.deleted_at IS NULL AND d.removed_at IS NULL)",
    ),
    "deletions": (
        "What was deleted by hand.",
        {
            "deletion_id": ("deletion_id", "The record."),
            "kind": ("kind", "document, source, collection or grant."),
            "tenant": ("tenant", "Who it belonged to; null: several."),
            "collection": ("collection", "Where it was served; null: a grant."),
            "name": ("name", "Id of the document, URI of the source, name of the collection or of the user."),
            "actor": ("actor", "Who asked for it."),
            "documents": ("documents", "Documents that went."),
            "chunks": ("chunks", "Chunks that went."),
            "deleted_at": ("deleted_at", "When it was done."),
        },
        "deletions",
    ),
}


def upgrade() -> None:
    op.add_column(
        "documents",
        sa.Column(
            "removed_at",
            sa.TIMESTAMP(timezone=True),
            comment="When it was deleted by hand; its content is not ingested again until it changes; null: it was "
            "not.",
        ),
    )
    op.add_column(
        "sources",
        sa.Column(
            "removed_at",
            sa.TIMESTAMP(timezone=True),
            comment="When it was removed by hand; not ingested unless somebody asks; null: it was not.",
        ),
    )
    op.add_column(
        "collections",
        sa.Column(
            "dropping_since",
            sa.TIMESTAMP(timezone=True),
            comment="Since when it is being deleted; no run may work in it; null: it is not.",
        ),
    )
    op.add_column(
        "quarantine",
        sa.Column(
            "raw_hash",
            sa.LargeBinary(),
            comment="Keyed hash of the content that was refused; null: it could not be read.",
        ),
    )
    op.create_table(
        "deletions",
        sa.Column(
            "deletion_id",
            sa.Uuid(),
            server_default=sa.text("uuidv7()"),
            nullable=False,
            comment="Assigned by the ledger.",
        ),
        sa.Column("kind", sa.Text(), nullable=False, comment="document, source, collection or grant."),
        sa.Column("tenant", sa.Text(), comment="Who it belonged to; null: several."),
        sa.Column("collection", sa.Text(), comment="Where it was served; null: a grant."),
        sa.Column(
            "name",
            sa.Text(),
            nullable=False,
            comment="Id of the document, URI of the source, name of the collection or of the user.",
        ),
        sa.Column("actor", sa.Text(), nullable=False, comment="Who asked for it."),
        sa.Column("documents", sa.BigInteger(), nullable=False, comment="Documents that went."),
        sa.Column("chunks", sa.BigInteger(), nullable=False, comment="Chunks that went."),
        sa.Column(
            "deleted_at",
            sa.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When it was done.",
        ),
        sa.CheckConstraint("kind IN ('document', 'source', 'collection', 'grant')", name=op.f("ck_deletions_kind")),
        sa.CheckConstraint("documents >= 0 AND chunks >= 0", name=op.f("ck_deletions_counts")),
        sa.PrimaryKeyConstraint("deletion_id", name="pk_deletions"),
        comment="What was deleted by hand. Outlives what it is about, so it refers to nothing.",
    )
    for name, (about, columns, origin) in VIEWS.items():
        listed = ", ".join(f"{expression} AS {column}" for column, (expression, _) in columns.items())
        op.execute(f"CREATE VIEW analyst.{name} AS SELECT {listed} FROM {origin}")  # noqa: S608
        op.execute(f"COMMENT ON VIEW analyst.{name} IS '{about}'")
        for column, (_, comment) in columns.items():
            op.execute(f"COMMENT ON COLUMN analyst.{name}.{column} IS '{comment}'")


def downgrade() -> None:
    for name in reversed(VIEWS):
        op.execute(f"DROP VIEW analyst.{name}")
    op.drop_table("deletions")
    op.drop_column("quarantine", "raw_hash")
    op.drop_column("collections", "dropping_since")
    op.drop_column("sources", "removed_at")
    op.drop_column("documents", "removed_at")
