"""Keys: made once, kept apart, gone when they are erased; in memory and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, text

from sluice.adapters.postgres.keyring import PostgresKeyring
from sluice.encryption import new_key
from sluice.errors import Terminal, Unavailable
from sluice.ports.content import Keyring
from sluice.testing.contracts.keyring import KeyringContract
from sluice.testing.keyring import MemoryKeyring
from support.ledger_rows import engine_of, name

MASTER = new_key()


@pytest.fixture
def keys_engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    engine = engine_of(request.getfixturevalue("stack").environment["SLUICE_KEYS_DATABASE_URL"])
    yield engine
    engine.dispose()


class TestMemoryKeyring(KeyringContract):
    @pytest.fixture
    def keyring(self) -> Keyring:
        return MemoryKeyring()


class TestPostgresKeyring(KeyringContract):
    @pytest.fixture
    def keyring(self, keys_engine: Engine) -> Keyring:
        return PostgresKeyring(keys_engine, MASTER)


def test_ping_of_a_key_database_that_is_not_there_is_unavailable() -> None:
    engine = engine_of("postgresql+psycopg://nobody:secret@127.0.0.1:9/none")
    with pytest.raises(Unavailable, match="keys") as caught:
        PostgresKeyring(engine, MASTER).ping()
    assert "secret" not in str(caught.value)


def test_another_process_opens_the_same_keys(keys_engine: Engine) -> None:
    tenant, documents = name(), [uuid4() for _ in range(5)]
    first, second = PostgresKeyring(keys_engine, MASTER), PostgresKeyring(keys_engine, MASTER)
    assert first.index_key(tenant) == second.index_key(tenant)
    assert first.create(documents) == second.get(documents) == second.create(documents)


def _at_once(make: Callable[[PostgresKeyring], object], keys_engine: Engine) -> list[object]:
    rings = [PostgresKeyring(keys_engine, MASTER) for _ in range(8)]
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(make, rings))


def test_two_that_make_a_key_at_once_end_with_one(keys_engine: Engine) -> None:
    tenant, documents = name(), [uuid4() for _ in range(50)]
    index_keys = _at_once(lambda ring: ring.index_key(tenant), keys_engine)
    assert len(set(index_keys)) == 1
    built = _at_once(lambda ring: ring.create(documents), keys_engine)
    assert all(each == built[0] for each in built)


def test_keys_are_stored_wrapped(keys_engine: Engine) -> None:
    document_id = uuid4()
    key = PostgresKeyring(keys_engine, MASTER).create([document_id])[document_id]
    with keys_engine.begin() as connection:
        wrapped = connection.execute(
            text("SELECT wrapped FROM document_keys WHERE document_id = :id"), {"id": document_id}
        ).scalar_one()
    assert key not in wrapped


def test_another_master_key_opens_nothing(keys_engine: Engine) -> None:
    tenant, document_id = name(), uuid4()
    ring = PostgresKeyring(keys_engine, MASTER)
    ring.index_key(tenant)
    ring.create([document_id])
    stranger = PostgresKeyring(keys_engine, new_key())
    for ask in (lambda: stranger.index_key(tenant), lambda: stranger.get([document_id])):
        with pytest.raises(Terminal, match="SLUICE_MASTER_KEY"):
            ask()


def test_a_wrapped_key_cannot_be_passed_off_as_anothers(keys_engine: Engine) -> None:
    mine, yours = uuid4(), uuid4()
    PostgresKeyring(keys_engine, MASTER).create([mine, yours])
    with keys_engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE document_keys SET wrapped = (SELECT wrapped FROM document_keys WHERE document_id = :yours) "
                "WHERE document_id = :mine"
            ),
            {"mine": mine, "yours": yours},
        )
    with pytest.raises(Terminal):
        PostgresKeyring(keys_engine, MASTER).get([mine])


def _erase(engine: Engine, document_id: UUID) -> None:
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM document_keys WHERE document_id = :id"), {"id": document_id})


def test_an_erased_key_is_absent(keys_engine: Engine) -> None:
    a, b = uuid4(), uuid4()
    ring = PostgresKeyring(keys_engine, MASTER, keep_s=0.0)
    built = ring.create([a, b])
    _erase(keys_engine, a)
    assert ring.get([a, b]) == {b: built[b]}
    assert PostgresKeyring(keys_engine, MASTER).get([a]) == {}


def test_a_key_that_was_erased_elsewhere_is_made_anew(keys_engine: Engine) -> None:
    here, there = (PostgresKeyring(keys_engine, MASTER) for _ in range(2))
    document = uuid4()
    former = here.create([document])
    there.destroy([document])
    assert here.create([document]) != former
    assert here.get([document]) == there.get([document])


def test_recent_keys_are_kept_and_bounded(keys_engine: Engine) -> None:
    a, b, c = uuid4(), uuid4(), uuid4()
    ring = PostgresKeyring(keys_engine, MASTER, keep=2)
    ring.create([a, b])
    ring.get([a])
    ring.create([c])  # b was used longest ago, and goes
    for each in (a, b, c):
        _erase(keys_engine, each)
    assert set(ring.get([a, b, c])) == {a, c}


def test_a_key_database_that_is_not_there_is_named() -> None:
    ring = PostgresKeyring(engine_of("postgresql+psycopg://nobody:secret@127.0.0.1:9/none"), MASTER)
    with pytest.raises(Unavailable, match=r"PostgreSQL \(keys\)"):
        ring.get([uuid4()])
