"""Subjects of documents: entities of titles and headings."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_ABOUT = "The document's title, on its first chunk; or a heading that begins in it."
_COMMENTS = {  # table → comment
    "mentions": "Which entity is mentioned in which chunk, how often, and whether its document is about it.",
    "entities": "What chunks mention and documents are about. Names are sealed in the chunks.",
}


def upgrade() -> None:
    about: sa.Column[bool] = sa.Column("about", sa.Boolean(), server_default=sa.false(), nullable=False, comment=_ABOUT)
    op.add_column("mentions", about)
    op.drop_constraint(op.f("ck_mentions_occurrences"), "mentions")
    op.create_check_constraint(
        op.f("ck_mentions_occurrences"), "mentions", "occurrences >= 0 AND (occurrences > 0 OR about)"
    )
    for table, comment in _COMMENTS.items():
        op.create_table_comment(table, comment)
    op.alter_column("mentions", "occurrences", comment="How often the chunk's text mentions it.")
    op.alter_column("entities", "kind", comment="PHRASE; or, of spaCy, PERSON, ORG, …")
    op.alter_column("generations", "entities", comment="Profile: phrases, spacy:<pipeline>, or off.")


def downgrade() -> None:
    op.execute("DELETE FROM mentions WHERE occurrences = 0")
    op.drop_constraint(op.f("ck_mentions_occurrences"), "mentions")
    op.create_check_constraint(op.f("ck_mentions_occurrences"), "mentions", "occurrences >= 1")
    op.drop_column("mentions", "about")
    op.create_table_comment("mentions", "Which entity is mentioned in which chunk, and how often.")
    op.create_table_comment("entities", "What chunks mention. Names are sealed in the chunks.")
    op.alter_column("mentions", "occurrences", comment="How often the chunk mentions it.")
    op.alter_column("entities", "kind", comment="PERSON, ORG, …")
    op.alter_column("generations", "entities", comment="Profile, e.g. spacy:en_core_web_sm or off.")
