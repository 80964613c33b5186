"""Views for analysts: adds code and action of the check to gate results, and the time of a requested deletion."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_RESULTS = """
    SELECT x.run_id AS run_id, x.batch AS batch, x.stage AS stage, x.suite AS suite, x.expectation AS expectation,
           x.column_name AS column_name, x.success AS success, x.blocking AS blocking, x.evaluated AS evaluated,
           x.unexpected AS unexpected, x.recorded_at AS recorded_at, s.tenant_id AS tenant, c.name AS collection,
           s.uri AS source_uri{added}
    FROM gate_results x JOIN runs r USING (run_id) JOIN sources s USING (source_id)
    JOIN collections c ON c.collection_id = r.collection_id
"""
_DOCUMENTS = """
    SELECT d.document_id AS document_id, d.tenant_id AS tenant, c.name AS collection, d.external_id AS external_id,
           d.uri AS uri, v.number AS version, v.mime AS mime, v.size_bytes AS size_bytes,
           d.first_seen_at AS first_seen_at, v.activated_at AS activated_at, d.expires_at AS expires_at,
           d.deleted_at AS deleted_at, s.uri AS source_uri{added}
    FROM documents d JOIN collections c USING (collection_id) LEFT JOIN versions v
    ON v.document_id = d.document_id AND v.generation = c.live_generation AND v.state = 'active'
    JOIN sources s ON s.source_id = d.source_id
"""
# view -> (its definition, new columns with their expressions and comments)
CHANGED = {
    "gate_results": (
        _RESULTS,
        {
            "code": ("x.observed ->> 'code'", "Name of the check in its suite; null: of an older release."),
            "action": ("x.observed ->> 'action'", "What happens to rows that fail it: block, mask or flag."),
        },
    ),
    "documents": (
        _DOCUMENTS,
        {"removed_at": ("d.removed_at", "When it was deleted by hand, and unreadable; null: it was not.")},
    ),
}


def upgrade() -> None:
    for name, (definition, added) in CHANGED.items():
        columns = "".join(f", {expression} AS {column}" for column, (expression, _) in added.items())
        # In place: the view keeps its comments and whatever was granted on it.
        op.execute(f"CREATE OR REPLACE VIEW analyst.{name} AS {definition.format(added=columns)}")
        for column, (_, comment) in added.items():
            op.execute(f"COMMENT ON COLUMN analyst.{name}.{column} IS '{comment}'")


def downgrade() -> None:
    """Columns of a view cannot be taken away in place: it is made anew with its comments and readers."""
    for name, (definition, added) in CHANGED.items():
        comments = [each for each in _comments(name) if each[0] not in added]
        readers = _readers(name)
        op.execute(f"DROP VIEW analyst.{name}")
        op.execute(f"CREATE VIEW analyst.{name} AS {definition.format(added='')}")
        for column, comment in comments:
            place = f"COLUMN analyst.{name}.{column}" if column else f"VIEW analyst.{name}"
            op.execute(f"COMMENT ON {place} IS {comment}")
        for reader in readers:
            op.execute(f"GRANT SELECT ON analyst.{name} TO {reader}")


def _comments(name: str) -> list[tuple[str, str]]:
    """(column, or '' for the view; its comment as a literal)."""
    found = op.get_bind().execute(
        sa.text("""
            SELECT coalesce(a.attname, ''), quote_literal(d.description) FROM pg_description d
            LEFT JOIN pg_attribute a ON a.attrelid = d.objoid AND a.attnum = d.objsubid AND d.objsubid > 0
            WHERE d.objoid = to_regclass(:view) AND d.classoid = 'pg_class'::regclass ORDER BY d.objsubid
        """),
        {"view": f"analyst.{name}"},
    )
    return [(column, comment) for column, comment in found]


def _readers(name: str) -> list[str]:
    """Roles that may read the view, beside its owner, quoted."""
    found = op.get_bind().execute(
        sa.text("""
            SELECT a.grantee::regrole::text FROM pg_class c, aclexplode(c.relacl) a
            WHERE c.oid = to_regclass(:view) AND a.privilege_type = 'SELECT' AND a.grantee NOT IN (0, c.relowner)
        """),
        {"view": f"analyst.{name}"},
    )
    return [role for (role,) in found]
