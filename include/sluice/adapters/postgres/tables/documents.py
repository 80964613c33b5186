"""Documents, their versions and chunks, what the chunks mention, and vectors by text hash."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, Text, UniqueConstraint, false, text
from sqlalchemy.orm import Mapped, mapped_column

from sluice.adapters.postgres.tables.base import (
    Big,
    LedgerBase,
    LedgerId,
    Moment,
    OfDocument,
    OfRun,
    Retained,
    generation_key,
)

_LIVING = text("deleted_at IS NULL")


def _chunk_key(table: str) -> ForeignKeyConstraint:
    """Of a table whose rows belong to a chunk and are deleted with it."""
    columns = ("version_id", "ordinal")
    name = f"fk_{table}_chunk"
    return ForeignKeyConstraint(columns, [f"chunks.{each}" for each in columns], name=name, ondelete="CASCADE")


class DocumentRow(Retained, LedgerBase):
    __tablename__ = "documents"
    __table_args__ = (
        CheckConstraint("external_id <> ''", name="external_id"),
        CheckConstraint("deleted_by IS NULL OR deleted_at IS NOT NULL", name="deleted_by"),
        *Retained.checks(),
        # The tenant and collection of a document are its source's; the database holds them together.
        ForeignKeyConstraint(
            ["source_id", "tenant_id", "collection_id"],
            ["sources.source_id", "sources.tenant_id", "sources.collection_id"],
            name="fk_documents_source",
        ),
        Index("uq_documents_living", "tenant_id", "source_id", "external_id", unique=True, postgresql_where=_LIVING),
        Index("ix_documents_page", "collection_id", "tenant_id", "document_id", postgresql_where=_LIVING),
        Index(
            "ix_documents_own_groups",
            "source_id",
            postgresql_where=text("deleted_at IS NULL AND access_groups IS NOT NULL"),
        ),
        Index(
            "ix_documents_expiring",
            "source_id",
            "expires_at",
            "document_id",
            postgresql_where=text("expires_at IS NOT NULL AND purged_hash IS NULL"),
        ),
        Index(
            "ix_documents_keyed",
            "deleted_at",
            postgresql_where=text("deleted_at IS NOT NULL AND key_destroyed_at IS NULL"),
        ),
        Index("ix_documents_deleted_by", "deleted_by", postgresql_where=text("deleted_by IS NOT NULL")),
        {"comment": "One row for every document ever seen. Its id outlives edits and moves."},
    )

    document_id: Mapped[LedgerId] = mapped_column(comment="Assigned when a scan first sees the document.")
    tenant_id: Mapped[str] = mapped_column(comment="Who it belongs to.")
    source_id: Mapped[UUID] = mapped_column(comment="Where it comes from.")
    collection_id: Mapped[UUID] = mapped_column(comment="Where it is served.")
    external_id: Mapped[str] = mapped_column(Text(collation="C"), comment="Its name within the source.")
    uri: Mapped[str] = mapped_column(comment="Its address for citations, as last listed.")
    fingerprint: Mapped[str | None] = mapped_column(
        comment="Fingerprint of its state when last active or quarantined; null: neither yet."
    )
    first_seen_at: Mapped[Moment] = mapped_column(comment="When a scan first listed it.")
    deleted_at: Mapped[datetime | None] = mapped_column(comment="When it was deleted; unreadable from then on.")
    deleted_by: Mapped[OfRun | None] = mapped_column(
        comment="The run that deleted it; null: not deleted, or deleted by other means."
    )
    served_since: Mapped[datetime | None] = mapped_column(
        comment="When the content of its last version was first served; retention counts from it; null: never served."
    )
    expires_at: Mapped[datetime | None] = mapped_column(
        comment="Unreadable from then on, by the narrowest retention that is set; null: never."
    )
    removed_at: Mapped[datetime | None] = mapped_column(
        comment="When it was deleted manually; its content is not ingested again until it changes; null: it was not."
    )
    purged_hash: Mapped[bytes | None] = mapped_column(
        comment="Keyed hash of the content that expired and was purged; null: it was not."
    )
    access_groups: Mapped[list[str] | None] = mapped_column(
        comment="Who may read it, instead of the source's groups; null: these; empty: everyone in the tenant."
    )
    key_destroyed_at: Mapped[datetime | None] = mapped_column(
        comment="When its key was destroyed, after its deletion; null: it was not."
    )


class VersionRow(LedgerBase):
    __tablename__ = "versions"
    __table_args__ = (
        generation_key("versions"),
        CheckConstraint("state IN ('pending', 'active', 'superseded')", name="state"),
        CheckConstraint("size_bytes >= 0", name="size_bytes"),
        CheckConstraint("(number IS NULL) = (state = 'pending') AND number >= 1", name="number"),
        CheckConstraint("(activated_at IS NULL) = (state = 'pending')", name="activated_at"),
        CheckConstraint("language ~ '^[a-z]{3}$'", name="language"),
        UniqueConstraint("document_id", "generation", "number"),
        Index(
            "uq_versions_active",
            "document_id",
            "generation",
            unique=True,
            postgresql_where=text("state = 'active'"),
        ),
        Index("ix_versions_served", "collection_id", "generation", postgresql_where=text("state = 'active'")),
        Index("ix_versions_pending", "run_id", postgresql_where=text("state = 'pending'")),
        Index("ix_versions_run", "run_id"),
        Index(
            "ix_versions_superseded",
            "activated_at",
            postgresql_where=text("state = 'superseded' AND sealed_text <> ''"),
        ),
        {"comment": "One state of a document, made for one generation. At most one is active there."},
    )

    version_id: Mapped[UUID] = mapped_column(primary_key=True, comment="Derived from run and document.")
    document_id: Mapped[OfDocument] = mapped_column(comment="The document.")
    collection_id: Mapped[UUID] = mapped_column(comment="The collection.")
    generation: Mapped[int] = mapped_column(comment="The generation that it was made for.")
    number: Mapped[int | None] = mapped_column(comment="From 1 within document and generation; null while pending.")
    state: Mapped[str] = mapped_column(comment="pending (not yet served), active, superseded.")
    raw_hash: Mapped[bytes] = mapped_column(comment="Keyed hash of the raw bytes.")
    mime: Mapped[str] = mapped_column(comment="Kind of the raw bytes.")
    size_bytes: Mapped[Big] = mapped_column(comment="Size of the raw bytes.")
    fingerprint: Mapped[str] = mapped_column(comment="Fingerprint of this state.")
    sealed_title: Mapped[bytes] = mapped_column(comment="Title, encrypted under the document's key.")
    sealed_text: Mapped[bytes] = mapped_column(comment="Extracted text, encrypted under the document's key.")
    sealed_metadata: Mapped[bytes] = mapped_column(comment="Metadata as JSON, encrypted under the document's key.")
    language: Mapped[str | None] = mapped_column(
        comment="ISO 639-3 code of the language in which its terms are analysed; null: not known, as English."
    )
    run_id: Mapped[OfRun] = mapped_column(comment="The run that made it.")
    created_at: Mapped[Moment] = mapped_column(comment="When it was staged.")
    activated_at: Mapped[datetime | None] = mapped_column(comment="When it began to be served.")


class ChunkRow(LedgerBase):
    __tablename__ = "chunks"
    __table_args__ = (
        CheckConstraint("ordinal >= 0", name="ordinal"),
        CheckConstraint("start_char >= 0 AND end_char > start_char", name="offsets"),
        CheckConstraint("page >= 1", name="page"),
        CheckConstraint("octet_length(text_hash) = 20", name="text_hash"),
        # In this order it also answers the hydration of search results, which know only chunk ids.
        UniqueConstraint("chunk_id", "version_id"),
        # For comparing the projections with a generation's chunks, page by page.
        Index("ix_chunks_pages", "collection_id", "generation", "chunk_id"),
        {"comment": "Passages of pending and active versions; a superseded version's go with the switch."},
    )

    version_id: Mapped[UUID] = mapped_column(
        ForeignKey("versions.version_id", ondelete="CASCADE"), primary_key=True, comment="The version."
    )
    ordinal: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, comment="From 0, in text order.")
    chunk_id: Mapped[UUID] = mapped_column(comment="Same in all stores; an edit elsewhere in the document keeps it.")
    document_id: Mapped[UUID] = mapped_column(comment="The document.")
    collection_id: Mapped[UUID] = mapped_column(comment="The collection.")
    generation: Mapped[int] = mapped_column(comment="The generation.")
    start_char: Mapped[int] = mapped_column(comment="First character in the extracted text.")
    end_char: Mapped[int] = mapped_column(comment="One after the last character.")
    page: Mapped[int | None] = mapped_column(comment="From 1, where the format has pages.")
    text_hash: Mapped[bytes] = mapped_column(comment="Keyed hash of the embedded text; finds its cached vector.")
    sealed_text: Mapped[bytes] = mapped_column(comment="Text, encrypted under the document's key.")
    sealed_headings: Mapped[bytes] = mapped_column(comment="Heading path as JSON, encrypted.")
    sealed_names: Mapped[bytes] = mapped_column(comment="Names of mentioned entities as JSON, encrypted.")


class EntityRow(LedgerBase):
    __tablename__ = "entities"
    __table_args__ = ({"comment": "What chunks mention and documents are about. Names are encrypted, in the chunks."},)

    entity_id: Mapped[UUID] = mapped_column(primary_key=True, comment="Derived by a keyed hash from tenant and name.")
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.tenant_id"), comment="Who it belongs to.")
    kind: Mapped[str] = mapped_column(comment="PHRASE; or, of spaCy, PERSON, ORG, …")


class MentionRow(LedgerBase):
    __tablename__ = "mentions"
    __table_args__ = (
        _chunk_key("mentions"),
        CheckConstraint("occurrences >= 0 AND (occurrences > 0 OR about)", name="occurrences"),
        Index("ix_mentions_entity", "entity_id"),
        {"comment": "Which entity is mentioned in which chunk, how often, and whether its document is about it."},
    )

    version_id: Mapped[UUID] = mapped_column(primary_key=True, comment="The chunk's version.")
    ordinal: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, comment="The chunk's ordinal.")
    entity_id: Mapped[UUID] = mapped_column(ForeignKey("entities.entity_id"), primary_key=True, comment="The entity.")
    occurrences: Mapped[int] = mapped_column(comment="How often the chunk's text mentions it.")
    about: Mapped[bool] = mapped_column(
        server_default=false(), comment="The document's title, on its first chunk; or a heading that begins in it."
    )


class RelationRow(LedgerBase):
    __tablename__ = "relations"
    __table_args__ = (
        _chunk_key("relations"),
        CheckConstraint("head_id <> tail_id", name="ends"),
        {"comment": "What a chunk says of two entities, both of which it mentions; once, however often it says it."},
    )

    version_id: Mapped[UUID] = mapped_column(primary_key=True, comment="The chunk's version.")
    ordinal: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, comment="The chunk's ordinal.")
    head_id: Mapped[UUID] = mapped_column(primary_key=True, comment="The entity of which it is said.")
    kind: Mapped[str] = mapped_column(primary_key=True, comment="citizen_of, located_in.")
    tail_id: Mapped[UUID] = mapped_column(primary_key=True, comment="The other entity.")


class ChunkTermsRow(LedgerBase):
    __tablename__ = "chunk_terms"
    __table_args__ = (
        _chunk_key("chunk_terms"),
        CheckConstraint("cardinality(terms) = cardinality(weights)", name="weights"),
        # Chunk ids are random, so the first ones of a generation are a sample of it.
        Index("ix_chunk_terms_sample", "collection_id", "generation", "chunk_id"),
        Index(
            "ix_chunk_terms_terms",
            "terms",
            postgresql_using="gin",
            postgresql_with={"gin_pending_list_limit": 1024},  # KiB; a search reads these entries one by one
        ),
        {"comment": "Words of chunks as keyed hashes, for full text while Qdrant does not answer."},
    )

    version_id: Mapped[UUID] = mapped_column(primary_key=True, comment="The chunk's version.")
    ordinal: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, comment="The chunk's ordinal.")
    chunk_id: Mapped[UUID] = mapped_column(comment="The chunk.")
    collection_id: Mapped[UUID] = mapped_column(comment="The collection.")
    generation: Mapped[int] = mapped_column(comment="The generation.")
    source_id: Mapped[UUID] = mapped_column(comment="The source of its document.")
    terms: Mapped[list[int]] = mapped_column(
        comment="Keyed hashes of its words, mixed with the generation, so that each generation has its own."
    )
    weights: Mapped[list[float]] = mapped_column(comment="BM25 weights of the terms, without IDF.")


class EmbeddingRow(LedgerBase):
    __tablename__ = "embeddings"
    __table_args__ = (
        CheckConstraint("dim >= 1 AND octet_length(vector) = dim * 4", name="vector"),
        {"comment": "Vectors that were paid for once, by embedder and keyed hash of the text."},
    )

    embedder: Mapped[str] = mapped_column(primary_key=True, comment="Profile of the embedder.")
    text_hash: Mapped[bytes] = mapped_column(primary_key=True, comment="Keyed hash of the embedded text.")
    dim: Mapped[int] = mapped_column(comment="Components of the vector.")
    vector: Mapped[bytes] = mapped_column(comment="dim float32, little-endian, L2-normalised.")
    created_at: Mapped[Moment] = mapped_column(comment="When it was computed.")


class UnusedEmbeddingRow(LedgerBase):
    __tablename__ = "unused_embeddings"
    __table_args__ = (
        ForeignKeyConstraint(
            ["embedder", "text_hash"],
            ["embeddings.embedder", "embeddings.text_hash"],
            name="fk_unused_embeddings_embedding",
            ondelete="CASCADE",
        ),
        {"comment": "Cached vectors that no chunk uses; they are removed after a while unless one does again."},
    )

    embedder: Mapped[str] = mapped_column(primary_key=True, comment="Profile of the embedder.")
    text_hash: Mapped[bytes] = mapped_column(primary_key=True, comment="Keyed hash of the embedded text.")
    since: Mapped[Moment] = mapped_column(comment="When it was first found unused.")
