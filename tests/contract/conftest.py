"""The two ledgers that keep one contract."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ledger_rows import Room, engine_of, memory_room, postgres_room


@pytest.fixture(params=["memory", "postgres"])
def room(request: pytest.FixtureRequest) -> Iterator[Room]:
    if request.param == "memory":
        yield memory_room()
        return
    engine = engine_of(request.getfixturevalue("stack").environment["SLUICE_DATABASE_URL"], pool_size=10)
    yield postgres_room(engine)
    engine.dispose()
