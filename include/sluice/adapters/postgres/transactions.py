"""One transaction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine

from sluice.adapters.postgres.failures import translated


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """Commits at the end, rolls back on any error; errors are ours."""
    with translated(), engine.begin() as connection:
        yield connection
