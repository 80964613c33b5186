"""Documents, versions, chunks, entities, mentions and cached vectors."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# Ciphertext and floats do not compress; trying to would cost time with every row.
CIPHERTEXT = (
    ("versions", "sealed_title"),
    ("versions", "sealed_text"),
    ("versions", "sealed_metadata"),
    ("chunks", "sealed_text"),
    ("chunks", "sealed_headings"),
    ("chunks", "sealed_names"),
    ("embeddings", "vector"),
)


def upgrade() -> None:
    op.create_table(
        "documents",
        sa.Column(
            "document_id",
            sa.Uuid(),
            server_default=sa.text("uuidv7()"),
            nullable=False,
            comment="Assigned when a scan first sees the document.",
        ),
        sa.Column("tenant_id", sa.Text(), nullable=False, comment="Who it belongs to."),
        sa.Column("source_id", sa.Uuid(), nullable=False, comment="Where it comes from."),
        sa.Column("collection_id", sa.Uuid(), nullable=False, comment="Where it is served."),
        sa.Column("external_id", sa.Text(collation="C"), nullable=False, comment="Its name within the source."),
        sa.Column("uri", sa.Text(), nullable=False, comment="Its address for citations, as last listed."),
        sa.Column(
            "fingerprint",
            sa.Text(),
            nullable=True,
            comment="The source's mark of its state when last active or quarantined; null: neither yet.",
        ),
        sa.Column(
            "first_seen_at",
            sa.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When a scan first listed it.",
        ),
        sa.Column(
            "deleted_at",
            sa.TIMESTAMP(timezone=True),
            nullable=True,
            comment="When it was gone; unreadable from then on.",
        ),
        sa.Column(
            "deleted_by",
            sa.Uuid(),
            nullable=True,
            comment="The run that found it gone; null: not gone, or gone by other means.",
        ),
        sa.Column(
            "expires_at", sa.TIMESTAMP(timezone=True), nullable=True, comment="Unreadable from then on; null: never."
        ),
        sa.Column(
            "access_groups",
            postgresql.ARRAY(sa.Text()),
            nullable=True,
            comment="Who may read it, instead of the source's groups; null: these; empty: everyone in the tenant.",
        ),
        sa.CheckConstraint("deleted_by IS NULL OR deleted_at IS NOT NULL", name=op.f("ck_documents_deleted_by")),
        sa.CheckConstraint("external_id <> ''", name=op.f("ck_documents_external_id")),
        sa.ForeignKeyConstraint(["deleted_by"], ["runs.run_id"], name="fk_documents_deleted_by"),
        sa.ForeignKeyConstraint(
            ["source_id", "tenant_id", "collection_id"],
            ["sources.source_id", "sources.tenant_id", "sources.collection_id"],
            name="fk_documents_source",
        ),
        sa.PrimaryKeyConstraint("document_id", name="pk_documents"),
        comment="One row for every document ever seen. Its id outlives edits and moves.",
    )
    op.create_index(
        "ix_documents_deleted_by",
        "documents",
        ["deleted_by"],
        unique=False,
        postgresql_where=sa.text("deleted_by IS NOT NULL"),
    )
    op.create_index(
        "ix_documents_own_groups",
        "documents",
        ["source_id"],
        unique=False,
        postgresql_where=sa.text("deleted_at IS NULL AND access_groups IS NOT NULL"),
    )
    op.create_index(
        "ix_documents_page",
        "documents",
        ["collection_id", "tenant_id", "document_id"],
        unique=False,
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index(
        "uq_documents_living",
        "documents",
        ["tenant_id", "source_id", "external_id"],
        unique=True,
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_table(
        "versions",
        sa.Column("version_id", sa.Uuid(), nullable=False, comment="Derived from run and document."),
        sa.Column("document_id", sa.Uuid(), nullable=False, comment="The document."),
        sa.Column("collection_id", sa.Uuid(), nullable=False, comment="The collection."),
        sa.Column("generation", sa.Integer(), nullable=False, comment="The generation that it was made for."),
        sa.Column(
            "number", sa.Integer(), nullable=True, comment="From 1 within document and generation; null while pending."
        ),
        sa.Column("state", sa.Text(), nullable=False, comment="pending (not yet served), active, superseded."),
        sa.Column("raw_hash", sa.LargeBinary(), nullable=False, comment="Keyed hash of the raw bytes."),
        sa.Column("mime", sa.Text(), nullable=False, comment="Kind of the raw bytes."),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False, comment="Size of the raw bytes."),
        sa.Column("fingerprint", sa.Text(), nullable=False, comment="The source's mark of this state."),
        sa.Column("sealed_title", sa.LargeBinary(), nullable=False, comment="Title, sealed under the document's key."),
        sa.Column(
            "sealed_text", sa.LargeBinary(), nullable=False, comment="Extracted text, sealed under the document's key."
        ),
        sa.Column(
            "sealed_metadata",
            sa.LargeBinary(),
            nullable=False,
            comment="Metadata as JSON, sealed under the document's key.",
        ),
        sa.Column("run_id", sa.Uuid(), nullable=False, comment="The run that made it."),
        sa.Column(
            "created_at",
            sa.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When it was staged.",
        ),
        sa.Column("activated_at", sa.TIMESTAMP(timezone=True), nullable=True, comment="When it began to be served."),
        sa.CheckConstraint("(activated_at IS NULL) = (state = 'pending')", name=op.f("ck_versions_activated_at")),
        sa.CheckConstraint("(number IS NULL) = (state = 'pending') AND number >= 1", name=op.f("ck_versions_number")),
        sa.CheckConstraint("state IN ('pending', 'active', 'superseded')", name=op.f("ck_versions_state")),
        sa.CheckConstraint("size_bytes >= 0", name=op.f("ck_versions_size_bytes")),
        sa.ForeignKeyConstraint(
            ["collection_id", "generation"],
            ["generations.collection_id", "generations.generation"],
            name="fk_versions_generation",
        ),
        sa.ForeignKeyConstraint(["document_id"], ["documents.document_id"], name="fk_versions_document_id"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_versions_run_id"),
        sa.PrimaryKeyConstraint("version_id", name="pk_versions"),
        sa.UniqueConstraint("document_id", "generation", "number", name="uq_versions_document_id_generation_number"),
        comment="One state of a document, made for one generation. At most one is active there.",
    )
    op.create_index(
        "ix_versions_pending",
        "versions",
        ["run_id"],
        unique=False,
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index(
        "ix_versions_served",
        "versions",
        ["collection_id", "generation"],
        unique=False,
        postgresql_where=sa.text("state = 'active'"),
    )
    op.create_index(
        "uq_versions_active",
        "versions",
        ["document_id", "generation"],
        unique=True,
        postgresql_where=sa.text("state = 'active'"),
    )
    op.create_table(
        "chunks",
        sa.Column("version_id", sa.Uuid(), nullable=False, comment="The version."),
        sa.Column("ordinal", sa.Integer(), autoincrement=False, nullable=False, comment="From 0, in text order."),
        sa.Column(
            "chunk_id",
            sa.Uuid(),
            nullable=False,
            comment="Same in all stores; an edit elsewhere in the document keeps it.",
        ),
        sa.Column("document_id", sa.Uuid(), nullable=False, comment="The document."),
        sa.Column("collection_id", sa.Uuid(), nullable=False, comment="The collection."),
        sa.Column("generation", sa.Integer(), nullable=False, comment="The generation."),
        sa.Column("start_char", sa.Integer(), nullable=False, comment="First character in the extracted text."),
        sa.Column("end_char", sa.Integer(), nullable=False, comment="One after the last character."),
        sa.Column("page", sa.Integer(), nullable=True, comment="From 1, where the format has pages."),
        sa.Column(
            "text_hash",
            sa.LargeBinary(),
            nullable=False,
            comment="Keyed hash of the embedded text; finds its cached vector.",
        ),
        sa.Column("sealed_text", sa.LargeBinary(), nullable=False, comment="Text, sealed under the document's key."),
        sa.Column("sealed_headings", sa.LargeBinary(), nullable=False, comment="Heading path as JSON, sealed."),
        sa.Column(
            "sealed_names", sa.LargeBinary(), nullable=False, comment="Names of mentioned entities as JSON, sealed."
        ),
        sa.CheckConstraint("octet_length(text_hash) = 20", name=op.f("ck_chunks_text_hash")),
        sa.CheckConstraint("ordinal >= 0", name=op.f("ck_chunks_ordinal")),
        sa.CheckConstraint("page >= 1", name=op.f("ck_chunks_page")),
        sa.CheckConstraint("start_char >= 0 AND end_char > start_char", name=op.f("ck_chunks_offsets")),
        sa.ForeignKeyConstraint(
            ["version_id"], ["versions.version_id"], name="fk_chunks_version_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("version_id", "ordinal", name="pk_chunks"),
        sa.UniqueConstraint("chunk_id", "version_id", name="uq_chunks_chunk_id_version_id"),
        comment="Passages of pending and active versions; a superseded version's go with the switch.",
    )
    op.create_table(
        "entities",
        sa.Column("entity_id", sa.Uuid(), nullable=False, comment="Derived by a keyed hash from tenant and name."),
        sa.Column("tenant_id", sa.Text(), nullable=False, comment="Who it belongs to."),
        sa.Column("kind", sa.Text(), nullable=False, comment="PERSON, ORG, …"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name="fk_entities_tenant_id"),
        sa.PrimaryKeyConstraint("entity_id", name="pk_entities"),
        comment="What chunks mention. Names are sealed in the chunks.",
    )
    op.create_table(
        "mentions",
        sa.Column("version_id", sa.Uuid(), nullable=False, comment="The chunk's version."),
        sa.Column("ordinal", sa.Integer(), autoincrement=False, nullable=False, comment="The chunk's ordinal."),
        sa.Column("entity_id", sa.Uuid(), nullable=False, comment="The entity."),
        sa.Column("occurrences", sa.Integer(), nullable=False, comment="How often the chunk mentions it."),
        sa.CheckConstraint("occurrences >= 1", name=op.f("ck_mentions_occurrences")),
        sa.ForeignKeyConstraint(["entity_id"], ["entities.entity_id"], name="fk_mentions_entity_id"),
        sa.ForeignKeyConstraint(
            ["version_id", "ordinal"],
            ["chunks.version_id", "chunks.ordinal"],
            name="fk_mentions_chunk",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("version_id", "ordinal", "entity_id", name="pk_mentions"),
        comment="Which entity is mentioned in which chunk, and how often.",
    )
    op.create_index("ix_mentions_entity", "mentions", ["entity_id"], unique=False)
    op.create_table(
        "embeddings",
        sa.Column("embedder", sa.Text(), nullable=False, comment="Profile of the embedder."),
        sa.Column("text_hash", sa.LargeBinary(), nullable=False, comment="Keyed hash of the embedded text."),
        sa.Column("dim", sa.Integer(), nullable=False, comment="Components of the vector."),
        sa.Column("vector", sa.LargeBinary(), nullable=False, comment="dim float32, little-endian, L2-normalised."),
        sa.Column(
            "created_at",
            sa.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When it was computed.",
        ),
        sa.CheckConstraint("dim >= 1 AND octet_length(vector) = dim * 4", name=op.f("ck_embeddings_vector")),
        sa.PrimaryKeyConstraint("embedder", "text_hash", name="pk_embeddings"),
        comment="Vectors that were paid for once, by embedder and keyed hash of the text.",
    )

    for table, column in CIPHERTEXT:
        op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET STORAGE EXTERNAL")


def downgrade() -> None:
    op.drop_table("embeddings")
    op.drop_table("mentions")
    op.drop_table("entities")
    op.drop_table("chunks")
    op.drop_table("versions")
    op.drop_table("documents")
