"""Comments of tables and columns, in the words of the documentation."""

from __future__ import annotations

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

# table, column or None for the table itself, comment before, comment since
COMMENTS = (
    (
        "collections",
        "name",
        "Global name, part of the physical names.",
        "Global name, part of the names of its backing collections.",
    ),
    (
        "sources",
        "schedule",
        "When it is due: five fields of cron, UTC; null: every night.",
        "When it is due: a cron expression, UTC; null: every night.",
    ),
    ("sources", "paused", "Whether it is left out of runs that nobody asks for.", "Whether scheduled runs skip it."),
    (
        "sources",
        "removed_at",
        "When it was removed by hand; not ingested unless somebody asks; null: it was not.",
        "When it was removed manually; it is not ingested unless requested; null: it was not.",
    ),
    (
        "deletions",
        None,
        "What was deleted by hand. Outlives what it is about, so it refers to nothing.",
        "Manual deletions. A row outlives what was deleted, so it has no foreign key.",
    ),
    (
        "documents",
        "fingerprint",
        "The source's mark of its state when last active or quarantined; null: neither yet.",
        "Fingerprint of its state when last active or quarantined; null: neither yet.",
    ),
    (
        "documents",
        "deleted_at",
        "When it was gone; unreadable from then on.",
        "When it was deleted; unreadable from then on.",
    ),
    (
        "documents",
        "deleted_by",
        "The run that found it gone; null: not gone, or gone by other means.",
        "The run that deleted it; null: not deleted, or deleted by other means.",
    ),
    (
        "documents",
        "removed_at",
        "When it was deleted by hand; its content is not ingested again until it changes; null: it was not.",
        "When it was deleted manually; its content is not ingested again until it changes; null: it was not.",
    ),
    (
        "documents",
        "purged_hash",
        "Keyed hash of the content that expired and was taken out; null: it was not.",
        "Keyed hash of the content that expired and was purged; null: it was not.",
    ),
    (
        "documents",
        "key_destroyed_at",
        "When its key was destroyed, after it was gone; null: it was not.",
        "When its key was destroyed, after its deletion; null: it was not.",
    ),
    ("versions", "fingerprint", "The source's mark of this state.", "Fingerprint of this state."),
    (
        "versions",
        "sealed_title",
        "Title, sealed under the document's key.",
        "Title, encrypted under the document's key.",
    ),
    (
        "versions",
        "sealed_text",
        "Extracted text, sealed under the document's key.",
        "Extracted text, encrypted under the document's key.",
    ),
    (
        "versions",
        "sealed_metadata",
        "Metadata as JSON, sealed under the document's key.",
        "Metadata as JSON, encrypted under the document's key.",
    ),
    ("chunks", "sealed_text", "Text, sealed under the document's key.", "Text, encrypted under the document's key."),
    ("chunks", "sealed_headings", "Heading path as JSON, sealed.", "Heading path as JSON, encrypted."),
    (
        "chunks",
        "sealed_names",
        "Names of mentioned entities as JSON, sealed.",
        "Names of mentioned entities as JSON, encrypted.",
    ),
    (
        "entities",
        None,
        "What chunks mention and documents are about. Names are sealed in the chunks.",
        "What chunks mention and documents are about. Names are encrypted, in the chunks.",
    ),
    ("gate_rows", "position", "From 0, as judged.", "From 0, as evaluated."),
    ("quarantine", "run_id", "The run that refused it.", "The run that quarantined it."),
    (
        "quarantine",
        "resolved_at",
        "When it became active or was gone; null: open.",
        "When it became active or was deleted; null: open.",
    ),
    (
        "quarantine",
        "kept_bytes",
        "Size of the document's bytes, kept sealed in object storage; null: they are not.",
        "Size of the document's bytes that are retained, encrypted, in object storage; null: they are not.",
    ),
    (
        "quarantine",
        "raw_hash",
        "Keyed hash of the content that was refused; null: it could not be read.",
        "Keyed hash of the content that was quarantined; null: it could not be read.",
    ),
    ("gate_results", "success", "Whether it was met.", "Whether it passed."),
    (
        "runs",
        "mark",
        "What names the state that its scan listed, such as a commit; null: its source has no such name.",
        "Cursor: names the state that its scan listed, such as a commit; null: its source has none.",
    ),
    (
        "runs",
        "stopped",
        "Why it took on nothing more: budget; null: it was not stopped.",
        "The limit that it exceeded: budget; null: none.",
    ),
    (
        "outbox",
        None,
        "Chunks to be taken out of vectors and graph; struck off when that is done.",
        "Chunks to delete from vectors and graph; a row is deleted when that is done.",
    ),
    ("outbox", "generation", "The generation to take them out of.", "The generation to delete them from."),
    ("outbox", "chunk_ids", "Chunks to take out.", "Chunks to delete."),
    (
        "outbox",
        "document_gone",
        "Whether the document itself is gone, too.",
        "Whether the document itself is deleted, too.",
    ),
    (
        "purged_documents",
        None,
        "What a purge took out because it had expired. Where from and by whom: its run.",
        "Documents that a purge deleted because they had expired. Source and actor: its run.",
    ),
    (
        "purged_documents",
        "chunks",
        "Chunks of its active versions that went.",
        "Chunks of its active versions that were deleted.",
    ),
    ("purged_documents", "purged_at", "When it was taken out.", "When it was deleted."),
    (
        "claims",
        None,
        "The run that works on a source. At most one; others wait until it ends or lapses.",
        "Leases of sources. At most one run holds one; others wait until it ends or expires.",
    ),
    ("claims", "run_id", "The run that holds it.", "The run that holds the lease."),
    (
        "claims",
        "lapses_at",
        "Until when, unless it gives a sign of life.",
        "When it expires, unless the run renews it.",
    ),
    (
        "moves",
        None,
        "Documents that kept their id and history under another name.",
        "Renamed documents. They have their id and history as before.",
    ),
    (
        "moves",
        "placeholder_id",
        "Id that the new name had until the move was found; null: the source said it at once.",
        "Id that the new name had until the rename was matched; null: the source reported it.",
    ),
    (
        "moves",
        "how",
        "source (told), content (same bytes) or similarity (shared chunks).",
        "source (reported), content (same bytes) or similarity (similar text).",
    ),
    ("moves", "moved_at", "When it was found.", "When it was matched."),
)


def upgrade() -> None:
    for table, column, before, since in COMMENTS:
        _comment(table, column, before, since)


def downgrade() -> None:
    for table, column, before, since in COMMENTS:
        _comment(table, column, since, before)


def _comment(table: str, column: str | None, before: str, since: str) -> None:
    if column is None:
        op.create_table_comment(table, since, existing_comment=before)
    else:
        op.alter_column(table, column, comment=since, existing_comment=before)
