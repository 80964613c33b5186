"""What was deleted by hand."""

from __future__ import annotations

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from sluice.adapters.postgres.tables.base import Big, LedgerBase, LedgerId, Moment


class DeletionRow(LedgerBase):
    __tablename__ = "deletions"
    __table_args__ = (
        CheckConstraint("kind IN ('document', 'source', 'collection', 'grant')", name="kind"),
        CheckConstraint("documents >= 0 AND chunks >= 0", name="counts"),
        {"comment": "Manual deletions. A row outlives what was deleted, so it has no foreign key."},
    )

    deletion_id: Mapped[LedgerId]
    kind: Mapped[str] = mapped_column(comment="document, source, collection or grant.")
    tenant: Mapped[str | None] = mapped_column(comment="Who it belonged to; null: several.")
    collection: Mapped[str | None] = mapped_column(comment="Where it was served; null: a grant.")
    name: Mapped[str] = mapped_column(
        comment="Id of the document, URI of the source, name of the collection or of the user."
    )
    actor: Mapped[str] = mapped_column(comment="Who asked for it.")
    documents: Mapped[Big] = mapped_column(comment="Documents that went.")
    chunks: Mapped[Big] = mapped_column(comment="Chunks that went.")
    deleted_at: Mapped[Moment] = mapped_column(comment="When it was done.")
