"""The ledger, its reading side, the vector cache and the keyring on PostgreSQL 18."""

from sluice.adapters.postgres.catalog import PostgresCatalog
from sluice.adapters.postgres.engine import make_engine
from sluice.adapters.postgres.keyring import PostgresKeyring
from sluice.adapters.postgres.ledger import PostgresLedger
from sluice.adapters.postgres.lineage import PostgresLineage
from sluice.adapters.postgres.vectors import PostgresVectorCache

__all__ = [
    "PostgresCatalog",
    "PostgresKeyring",
    "PostgresLedger",
    "PostgresLineage",
    "PostgresVectorCache",
    "make_engine",
    "migrate",
]


def migrate(
    owner_url: str, keys_url: str, *, app_role: str = "sluice_app", analyst_role: str = "sluice_analyst"
) -> None:
    """See `migrations.migrate`; Alembic is imported only here, where it is needed."""
    from sluice.adapters.postgres.migrations import migrate as upgrade

    upgrade(owner_url, keys_url, app_role=app_role, analyst_role=analyst_role)
