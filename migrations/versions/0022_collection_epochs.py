"""Epochs of collections: a value that changes with everything that a search of the collection may return."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

# A transaction takes a row that no other transaction holds, or adds one. So it never waits for another transaction,
# and a commit can never go unnoticed because a later one came first: each replaces a token of its own.
_CHANGE = """
CREATE FUNCTION change_epochs() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    changed uuid;
    free bigint;
BEGIN
    FOR changed IN EXECUTE TG_ARGV[0] LOOP
        SELECT slot INTO free FROM collection_epochs WHERE collection_id = changed
        ORDER BY slot LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED;
        IF found THEN
            UPDATE collection_epochs SET token = gen_random_uuid() WHERE collection_id = changed AND slot = free;
        ELSE
            INSERT INTO collection_epochs (collection_id, token) VALUES (changed, gen_random_uuid());
        END IF;
    END LOOP;
    RETURN NULL;
END
$$
"""
_FORGET = """
CREATE FUNCTION forget_epochs() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    DELETE FROM collection_epochs WHERE collection_id IN (SELECT collection_id FROM old_rows);
    RETURN NULL;
END
$$
"""


def _differing(key: str, *columns: str) -> str:
    before, after = (", ".join(f"{rows}.{column}" for column in columns) for rows in ("o", "n"))
    pairs = f"new_rows n LEFT JOIN old_rows o USING ({key})"
    return f"SELECT DISTINCT n.collection_id FROM {pairs} WHERE ({before}) IS DISTINCT FROM ({after})"  # noqa: S608


# (table, event) → the collections that the rows of a statement change, in `old_rows` and `new_rows`. A statement that
# changes nothing of what a search returns (a fingerprint, a pending version) changes no epoch.
CHANGES = {
    ("documents", "UPDATE"): _differing(
        *("document_id", "external_id", "uri", "deleted_at", "removed_at", "expires_at", "purged_hash"),
        *("access_groups", "source_id", "tenant_id", "collection_id"),
    ),
    ("sources", "UPDATE"): _differing("source_id", "access_groups", "tenant_id", "collection_id", "removed_at"),
    ("collections", "UPDATE"): _differing("collection_id", "name", "live_generation", "filter_fields"),
    ("versions", "INSERT"): "SELECT DISTINCT collection_id FROM new_rows WHERE state = 'active'",
    ("versions", "UPDATE"): "SELECT collection_id FROM old_rows WHERE state = 'active' "
    "UNION SELECT collection_id FROM new_rows WHERE state = 'active'",
    ("versions", "DELETE"): "SELECT DISTINCT collection_id FROM old_rows WHERE state = 'active'",
    ("chunks", "UPDATE"): "SELECT DISTINCT collection_id FROM new_rows",
    # The stores that the ledger cannot see: points were deleted, or a repair wrote missing ones.
    ("outbox", "DELETE"): "SELECT DISTINCT collection_id FROM old_rows",
    ("reconciliations", "INSERT"): "SELECT DISTINCT collection_id FROM new_rows WHERE repair",
}
_ROWS = {
    "INSERT": "NEW TABLE AS new_rows",
    "UPDATE": "OLD TABLE AS old_rows NEW TABLE AS new_rows",
    "DELETE": "OLD TABLE AS old_rows",
}


def upgrade() -> None:
    op.create_table(
        "collection_epochs",
        sa.Column("collection_id", sa.Uuid(), nullable=False, comment="The collection."),
        sa.Column(
            "slot",
            sa.BigInteger(),
            sa.Identity(always=True),
            nullable=False,
            comment="One for each of the transactions that changed the collection at the same time.",
        ),
        sa.Column(
            "token", sa.Uuid(), nullable=False, comment="Random; replaced by each transaction that takes the slot."
        ),
        sa.PrimaryKeyConstraint("collection_id", "slot", name="pk_collection_epochs"),
        comment="The tokens of a collection are its epoch. It differs once a search may return something else.",
    )
    op.execute(_CHANGE)
    op.execute(_FORGET)
    for (table, event), query in CHANGES.items():
        literal = query.replace("'", "''")
        op.execute(
            f"CREATE TRIGGER {table}_{event.lower()}_epoch AFTER {event} ON {table} REFERENCING {_ROWS[event]} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION change_epochs('{literal}')"
        )
    op.execute(
        "CREATE TRIGGER collections_delete_epoch AFTER DELETE ON collections REFERENCING OLD TABLE AS old_rows "
        "FOR EACH STATEMENT EXECUTE FUNCTION forget_epochs()"
    )
    op.drop_column("collections", "epoch")


def downgrade() -> None:
    op.add_column(
        "collections",
        sa.Column(
            "epoch",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Grows with every change that a reader could see; caches compare it.",
        ),
    )
    op.execute("DROP TRIGGER collections_delete_epoch ON collections")
    for table, event in CHANGES:
        op.execute(f"DROP TRIGGER {table}_{event.lower()}_epoch ON {table}")
    op.execute("DROP FUNCTION forget_epochs")
    op.execute("DROP FUNCTION change_epochs")
    op.drop_table("collection_epochs")
