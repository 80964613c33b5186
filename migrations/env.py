"""Entry point of Alembic for the database of the ledger."""

from alembic import context

from sluice.adapters.postgres.migrations import run_environment
from sluice.adapters.postgres.tables.base import LedgerBase

# The module passes everything on to the EnvironmentContext that Alembic has set up.
run_environment(context, LedgerBase.metadata, "SLUICE_DATABASE_OWNER_URL")  # type: ignore[arg-type]
