"""The ledger of the session's stack."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.engines import EngineStack
from support.ledger_rows import LedgerDatabase, engine_of


@pytest.fixture
def db(stack: EngineStack) -> Iterator[LedgerDatabase]:
    engine = engine_of(stack.environment["SLUICE_DATABASE_URL"], pool_size=10)
    yield LedgerDatabase(engine)
    engine.dispose()
