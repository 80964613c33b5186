"""Tenants, collections with their generations, sources and grants."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "tenants",
        sa.Column("tenant_id", sa.Text(), nullable=False, comment="Name of the tenant."),
        sa.Column(
            "created_at",
            sa.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When the tenant was first seen.",
        ),
        sa.CheckConstraint("length(tenant_id) BETWEEN 1 AND 200", name=op.f("ck_tenants_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", name="pk_tenants"),
        comment="Who data belongs to. Nothing is shared between tenants.",
    )
    op.create_table(
        "collections",
        sa.Column(
            "collection_id",
            sa.Uuid(),
            server_default=sa.text("uuidv7()"),
            nullable=False,
            comment="Assigned by the ledger.",
        ),
        sa.Column("name", sa.Text(), nullable=False, comment="Global name, part of the physical names."),
        sa.Column("live_generation", sa.Integer(), nullable=False, comment="The generation that serves all queries."),
        sa.Column(
            "filter_fields",
            postgresql.ARRAY(sa.Text()),
            nullable=False,
            comment="Metadata keys that searches may filter on.",
        ),
        sa.Column(
            "epoch",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Grows with every change that a reader could see; caches compare it.",
        ),
        sa.Column(
            "created_at",
            sa.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When the collection was made.",
        ),
        sa.CheckConstraint(
            "name ~ '^[a-z0-9][a-z0-9_-]{0,62}$' AND position('__g' IN name) = 0", name=op.f("ck_collections_name")
        ),
        sa.PrimaryKeyConstraint("collection_id", name="pk_collections"),
        sa.UniqueConstraint("name", name="uq_collections_name"),
        comment="What a search addresses. Its live generation is decided here and nowhere else.",
    )
    op.create_table(
        "generations",
        sa.Column("collection_id", sa.Uuid(), nullable=False, comment="The collection."),
        sa.Column("generation", sa.Integer(), autoincrement=False, nullable=False, comment="From 1."),
        sa.Column("chunker", sa.Text(), nullable=False, comment="Profile, e.g. tokens:256:0."),
        sa.Column("embedder", sa.Text(), nullable=False, comment="Profile, e.g. minilm or hash:384."),
        sa.Column("entities", sa.Text(), nullable=False, comment="Profile, e.g. spacy:en_core_web_sm or off."),
        sa.Column("dim", sa.Integer(), nullable=False, comment="Components of a dense vector."),
        sa.Column("physical", sa.Text(), nullable=False, comment="Collection in Qdrant: <name>__g<generation>."),
        sa.Column("state", sa.Text(), nullable=False, comment="building, live or retired; one live per collection."),
        sa.Column(
            "created_at",
            sa.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When the generation was made.",
        ),
        sa.CheckConstraint("state IN ('building', 'live', 'retired')", name=op.f("ck_generations_state")),
        sa.CheckConstraint("dim >= 1", name=op.f("ck_generations_dim")),
        sa.CheckConstraint("generation >= 1", name=op.f("ck_generations_generation")),
        sa.ForeignKeyConstraint(["collection_id"], ["collections.collection_id"], name="fk_generations_collection_id"),
        sa.PrimaryKeyConstraint("collection_id", "generation", name="pk_generations"),
        sa.UniqueConstraint("physical", name="uq_generations_physical"),
        comment="One way to chunk, embed and extract entities, with everything made in that way.",
    )
    op.create_index(
        "uq_generations_live", "generations", ["collection_id"], unique=True, postgresql_where=sa.text("state = 'live'")
    )
    op.create_table(
        "sources",
        sa.Column(
            "source_id",
            sa.Uuid(),
            server_default=sa.text("uuidv7()"),
            nullable=False,
            comment="Assigned by the ledger.",
        ),
        sa.Column("tenant_id", sa.Text(), nullable=False, comment="Who it belongs to."),
        sa.Column("collection_id", sa.Uuid(), nullable=False, comment="Where its documents are served."),
        sa.Column("uri", sa.Text(), nullable=False, comment="Address without a password."),
        sa.Column(
            "access_groups",
            postgresql.ARRAY(sa.Text()),
            server_default=sa.text("'{}'::text[]"),
            nullable=False,
            comment="Who may read its documents; empty: everyone in the tenant.",
        ),
        sa.Column(
            "retention_days",
            sa.Integer(),
            nullable=True,
            comment="Days from activation to expiry; null: kept for ever.",
        ),
        sa.Column(
            "include_globs",
            postgresql.ARRAY(sa.Text()),
            server_default=sa.text("'{}'::text[]"),
            nullable=False,
            comment="Globs over external ids; empty: all.",
        ),
        sa.Column(
            "exclude_globs",
            postgresql.ARRAY(sa.Text()),
            server_default=sa.text("'{}'::text[]"),
            nullable=False,
            comment="Globs that are left out.",
        ),
        sa.Column(
            "created_at",
            sa.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When the source was first opened.",
        ),
        sa.CheckConstraint("retention_days >= 1", name=op.f("ck_sources_retention_days")),
        sa.ForeignKeyConstraint(["collection_id"], ["collections.collection_id"], name="fk_sources_collection_id"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name="fk_sources_tenant_id"),
        sa.PrimaryKeyConstraint("source_id", name="pk_sources"),
        sa.UniqueConstraint(
            "source_id", "tenant_id", "collection_id", name="uq_sources_source_id_tenant_id_collection_id"
        ),
        sa.UniqueConstraint("tenant_id", "collection_id", "uri", name="uq_sources_tenant_id_collection_id_uri"),
        comment="Where documents come from and who may read them.",
    )
    op.create_table(
        "grants",
        sa.Column("principal", sa.Text(), nullable=False, comment="Airflow user name."),
        sa.Column("tenant_id", sa.Text(), nullable=False, comment="The tenant it is about."),
        sa.Column(
            "access_groups",
            postgresql.ARRAY(sa.Text()),
            server_default=sa.text("'{}'::text[]"),
            nullable=False,
            comment="Groups held there; *: all.",
        ),
        sa.Column(
            "may_write", sa.Boolean(), server_default=sa.text("false"), nullable=False, comment="May ingest and delete."
        ),
        sa.Column(
            "created_at",
            sa.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When it was first granted.",
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name="fk_grants_tenant_id"),
        sa.PrimaryKeyConstraint("principal", "tenant_id", name="pk_grants"),
        comment="What a caller may do in a tenant. No row: nothing.",
    )

    # The two tables refer to each other, so one of the references comes last, and is checked at commit.
    op.create_foreign_key(
        "fk_collections_live_generation",
        "collections",
        "generations",
        ["collection_id", "live_generation"],
        ["collection_id", "generation"],
        deferrable=True,
        initially="DEFERRED",
    )


def downgrade() -> None:
    op.drop_constraint("fk_collections_live_generation", "collections")
    op.drop_table("grants")
    op.drop_table("sources")
    op.drop_table("generations")
    op.drop_table("collections")
    op.drop_table("tenants")
