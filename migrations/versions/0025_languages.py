"""Languages of versions, and of generations, in which questions are analysed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

_OF_VERSION = "ISO 639-3 code of the language in which its terms are analysed; null: not known, as English."
_OF_GENERATION = "Languages of its versions, also of former ones: questions are analysed in each."


def upgrade() -> None:
    op.add_column("versions", sa.Column("language", sa.Text(), nullable=True, comment=_OF_VERSION))
    op.create_check_constraint(op.f("ck_versions_language"), "versions", "language ~ '^[a-z]{3}$'")
    languages: sa.Column[list[str]] = sa.Column(
        "languages",
        sa.ARRAY(sa.Text()),
        server_default=sa.text("'{}'::text[]"),
        nullable=False,
        comment=_OF_GENERATION,
    )
    op.add_column("generations", languages)


def downgrade() -> None:
    op.drop_column("generations", "languages")
    op.drop_constraint(op.f("ck_versions_language"), "versions")
    op.drop_column("versions", "language")
