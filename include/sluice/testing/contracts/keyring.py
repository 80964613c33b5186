"""Contract tests of the port Keyring."""

from __future__ import annotations

from uuid import uuid4

import pytest

from sluice.encryption import KEY_BYTES
from sluice.ports.content import Keyring


class KeyringContract:
    """Keys are created once; a destroyed key does not come back."""

    @pytest.fixture
    def keyring(self) -> Keyring:
        """The adapter under test. It may hold data of other tests: ids and names are new in each test."""
        raise NotImplementedError

    def test_a_tenants_index_key_is_made_once(self, keyring: Keyring) -> None:
        tenant = uuid4().hex
        key = keyring.index_key(tenant)
        assert len(key) == KEY_BYTES
        assert keyring.index_key(tenant) == key
        assert keyring.index_key(uuid4().hex) != key

    def test_to_ask_for_a_tenants_index_key_makes_none(self, keyring: Keyring) -> None:
        tenant = uuid4().hex
        assert keyring.known_index_key(tenant) is None
        assert keyring.known_index_key(tenant) is None
        assert keyring.index_key(tenant) == keyring.known_index_key(tenant)

    def test_a_documents_key_is_made_once(self, keyring: Keyring) -> None:
        a, b, c = uuid4(), uuid4(), uuid4()
        made = keyring.create([a, b, a])
        assert set(made) == {a, b} and len({*made.values()}) == 2
        assert all(len(key) == KEY_BYTES for key in made.values())
        more = keyring.create([b, c])
        assert more[b] == made[b]
        assert keyring.get([a, b, c, uuid4()]) == {**made, **more}
        assert keyring.get([]) == {} and keyring.create([]) == {}

    def test_a_document_that_was_never_sealed_has_no_key(self, keyring: Keyring) -> None:
        assert keyring.get([uuid4()]) == {}

    def test_ping_tells_the_version(self, keyring: Keyring) -> None:
        assert keyring.ping()

    def test_a_key_that_was_destroyed_is_gone(self, keyring: Keyring) -> None:
        gone, kept = uuid4(), uuid4()
        made = keyring.create([gone, kept])
        assert keyring.destroy([gone, gone, uuid4()]) == 1
        assert keyring.get([gone, kept]) == {kept: made[kept]}
        assert keyring.create([gone])[gone] != made[gone]
