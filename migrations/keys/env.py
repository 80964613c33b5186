"""Entry point of Alembic for the key database."""

from alembic import context

from sluice.adapters.postgres.migrations import run_environment
from sluice.adapters.postgres.tables.base import KeysBase

# The module passes everything on to the EnvironmentContext that Alembic has set up.
run_environment(context, KeysBase.metadata, "SLUICE_KEYS_DATABASE_URL")  # type: ignore[arg-type]
