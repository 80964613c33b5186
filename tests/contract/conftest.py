"""The ledger of the session's stack."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.engines import EngineStack
from support.ledger_rows import Room, engine_of


@pytest.fixture
def room(stack: EngineStack) -> Iterator[Room]:
    engine = engine_of(stack.environment["SLUICE_DATABASE_URL"], pool_size=10)
    yield Room(engine)
    engine.dispose()
