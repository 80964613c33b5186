"""Who owns what: tenants, collections with their generations, sources, grants."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from sluice.adapters.postgres.tables.base import Big, LedgerBase, LedgerId, Moment, Retained

_NOTHING = text("'{}'::text[]")


class Tenant(LedgerBase):
    __tablename__ = "tenants"
    __table_args__ = (
        CheckConstraint("length(tenant_id) BETWEEN 1 AND 200", name="tenant_id"),
        CheckConstraint("max_documents >= 0 AND max_bytes >= 0", name="quota"),
        {"comment": "Who data belongs to. Nothing is shared between tenants."},
    )

    tenant_id: Mapped[str] = mapped_column(primary_key=True, comment="Name of the tenant.")
    created_at: Mapped[Moment] = mapped_column(comment="When the tenant was first seen.")
    max_documents: Mapped[Big | None] = mapped_column(comment="Documents that may be served; null: any number.")
    max_bytes: Mapped[Big | None] = mapped_column(
        comment="Raw bytes of the documents that may be served; null: any number."
    )


class Collection(Retained, LedgerBase):
    __tablename__ = "collections"
    __table_args__ = (
        CheckConstraint("name ~ '^[a-z0-9][a-z0-9_-]{0,62}$' AND position('__g' IN name) = 0", name="name"),
        ForeignKeyConstraint(
            ["collection_id", "live_generation"],
            ["generations.collection_id", "generations.generation"],
            name="fk_collections_live_generation",
            deferrable=True,
            initially="DEFERRED",
            use_alter=True,
        ),
        *Retained.checks(),
        {"comment": "What a search addresses. Its live generation is decided here and nowhere else."},
    )

    collection_id: Mapped[LedgerId]
    name: Mapped[str] = mapped_column(unique=True, comment="Global name, part of the names of its backing collections.")
    live_generation: Mapped[int] = mapped_column(comment="The generation that serves all queries.")
    filter_fields: Mapped[list[str]] = mapped_column(comment="Metadata keys that searches may filter on.")
    created_at: Mapped[Moment] = mapped_column(comment="When the collection was made.")
    dropping_since: Mapped[datetime | None] = mapped_column(
        comment="Since when it is being deleted; no run may work in it; null: it is not."
    )


class CollectionEpochRow(LedgerBase):
    """Written by triggers only (migration 0022). It has no foreign key, because its check could wait for another
    transaction."""

    __tablename__ = "collection_epochs"
    __table_args__ = (
        {"comment": "The tokens of a collection are its epoch. It differs once a search may return something else."},
    )

    collection_id: Mapped[UUID] = mapped_column(primary_key=True, comment="The collection.")
    slot: Mapped[int] = mapped_column(
        BigInteger(),
        Identity(always=True),
        primary_key=True,
        comment="One for each of the transactions that changed the collection at the same time.",
    )
    token: Mapped[UUID] = mapped_column(comment="Random; replaced by each transaction that takes the slot.")


class GenerationRow(LedgerBase):
    __tablename__ = "generations"
    __table_args__ = (
        CheckConstraint("generation >= 1", name="generation"),
        CheckConstraint("dim >= 1", name="dim"),
        CheckConstraint("state IN ('building', 'live', 'retired')", name="state"),
        Index("uq_generations_live", "collection_id", unique=True, postgresql_where=text("state = 'live'")),
        {"comment": "One way to chunk, embed and extract entities, with everything made in that way."},
    )

    collection_id: Mapped[UUID] = mapped_column(
        ForeignKey("collections.collection_id"), primary_key=True, comment="The collection."
    )
    generation: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, comment="From 1.")
    chunker: Mapped[str] = mapped_column(comment="Profile, e.g. tokens:256:0.")
    embedder: Mapped[str] = mapped_column(comment="Profile, e.g. minilm or hash:384.")
    entities: Mapped[str] = mapped_column(comment="Profile: phrases, spacy:<pipeline>, or off.")
    dim: Mapped[int] = mapped_column(comment="Components of a dense vector.")
    physical: Mapped[str] = mapped_column(unique=True, comment="Collection in Qdrant: <name>__g<generation>.")
    state: Mapped[str] = mapped_column(comment="building, live or retired; one live per collection.")
    languages: Mapped[list[str]] = mapped_column(
        server_default=_NOTHING,
        comment="Languages of its versions, also of former ones: questions are analysed in each.",
    )
    created_at: Mapped[Moment] = mapped_column(comment="When the generation was made.")
    terms_complete: Mapped[bool] = mapped_column(
        server_default=text("false"),
        comment="Whether all its chunks have terms; not those that older releases loaded, until a repair.",
    )


class SourceRow(Retained, LedgerBase):
    __tablename__ = "sources"
    __table_args__ = (
        *Retained.checks(),
        UniqueConstraint("tenant_id", "collection_id", "uri"),
        UniqueConstraint("source_id", "tenant_id", "collection_id"),
        {"comment": "Where documents come from and who may read them."},
    )

    source_id: Mapped[LedgerId]
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.tenant_id"), comment="Who it belongs to.")
    collection_id: Mapped[UUID] = mapped_column(
        ForeignKey("collections.collection_id"), comment="Where its documents are served."
    )
    uri: Mapped[str] = mapped_column(comment="Address without a password.")
    access_groups: Mapped[list[str]] = mapped_column(
        server_default=_NOTHING, comment="Who may read its documents; empty: everyone in the tenant."
    )
    include_globs: Mapped[list[str]] = mapped_column(
        server_default=_NOTHING, comment="Globs over external ids; empty: all."
    )
    exclude_globs: Mapped[list[str]] = mapped_column(server_default=_NOTHING, comment="Globs that are left out.")
    schedule: Mapped[str | None] = mapped_column(comment="When it is due: a cron expression, UTC; null: every night.")
    paused: Mapped[bool] = mapped_column(server_default=text("false"), comment="Whether scheduled runs skip it.")
    created_at: Mapped[Moment] = mapped_column(comment="When the source was first opened.")
    removed_at: Mapped[datetime | None] = mapped_column(
        comment="When it was removed manually; it is not ingested unless requested; null: it was not."
    )


class GrantRow(LedgerBase):
    __tablename__ = "grants"
    __table_args__ = ({"comment": "What a caller may do in a tenant. No row: nothing."},)

    principal: Mapped[str] = mapped_column(primary_key=True, comment="Airflow user name.")
    tenant_id: Mapped[str] = mapped_column(
        ForeignKey("tenants.tenant_id"), primary_key=True, comment="The tenant it is about."
    )
    access_groups: Mapped[list[str]] = mapped_column(server_default=_NOTHING, comment="Groups held there; *: all.")
    may_write: Mapped[bool] = mapped_column(server_default=text("false"), comment="May ingest and delete.")
    created_at: Mapped[Moment] = mapped_column(comment="When it was first granted.")
