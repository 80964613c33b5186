"""The ledger of the session's stack."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ledger_rows import Room, engine_of


@pytest.fixture
def room(stack: Any) -> Iterator[Room]:
    engine = engine_of(stack.environment["SLUICE_DATABASE_URL"], pool_size=10)
    yield Room(engine)
    engine.dispose()
