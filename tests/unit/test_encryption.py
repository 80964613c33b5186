"""Encryption: a value decrypts with its key in its place only; keyed hashes differ between tenants."""

from __future__ import annotations

import base64
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice import encryption
from sluice.encryption import Cipher
from sluice.errors import Terminal
from support.old_cipher import OldCipher

KEY, OWLS, WADERS = bytes(range(32)), uuid4(), uuid4()
# A title that release 0.2.0 encrypted under KEY.
TITLE_OF_0_2 = "01f6f3dcbc14ccd556933b235d2b031de541b0bfa482daca10bea6e657c2c06e204eeaaebf5a27fba9b482030f6ece7b"


def cipher(key: bytes = KEY, tenant: str = "acme", document_id: UUID = OWLS) -> Cipher:
    return Cipher(key, tenant, document_id)


@given(st.text(), st.sampled_from(["title", "text", "chunk"]))
def test_round_trip(text: str, purpose: str) -> None:
    encrypted = cipher().encrypt_text(purpose, text)
    assert cipher().decrypt_text(purpose, encrypted) == text
    assert len(text) < 4 or text.encode("utf-8", "surrogatepass") not in encrypted


def test_lone_surrogates_survive() -> None:
    assert cipher().decrypt_text("text", cipher().encrypt_text("text", "a\ud800b")) == "a\ud800b"
    assert cipher().decrypt_json("names", cipher().encrypt_json("names", {"a": "\ud800"})) == {"a": "\ud800"}


@pytest.mark.parametrize(
    ("other", "purpose", "part"),
    [
        (cipher(key=encryption.new_key()), "chunk", "1"),
        (cipher(tenant="globex"), "chunk", "1"),
        (cipher(document_id=WADERS), "chunk", "1"),
        (cipher(), "headings", "1"),
        (cipher(), "chunk", "2"),
        (cipher(), "chunk", ""),
    ],
    ids=["key", "tenant", "document", "purpose", "part", "no part"],
)
def test_a_value_does_not_decrypt_in_the_place_of_another(other: Cipher, purpose: str, part: str) -> None:
    encrypted = cipher().encrypt_text("chunk", "The same words", "1")
    assert cipher().decrypt_text("chunk", encrypted, "1") == "The same words"
    with pytest.raises(Terminal, match="cannot be decrypted"):
        other.decrypt_text(purpose, encrypted, part)


def test_an_altered_or_cut_value_does_not_decrypt() -> None:
    encrypted = cipher().encrypt_text("title", "The same words")
    altered = encrypted[:-1] + bytes([encrypted[-1] ^ 1])
    for wrong in (altered, encrypted[:20], encrypted[:5], b"\x01", b"\x01" + encrypted[1:]):
        with pytest.raises(Terminal, match="cannot be decrypted"):
            cipher().decrypt_text("title", wrong)
    for unknown in (b"\x07" + encrypted[1:], b""):
        with pytest.raises(Terminal, match="newer release"):
            cipher().decrypt_text("title", unknown)


def test_a_value_of_release_0_2_decrypts_and_keeps_its_purpose() -> None:
    old = bytes.fromhex(TITLE_OF_0_2)
    assert cipher().decrypt_text("title", old) == "Waders of the north"
    assert cipher().decrypt_text("chunk", OldCipher(KEY, "acme", OWLS).encrypt_text("chunk", "words"), "1") == "words"
    with pytest.raises(Terminal, match="cannot be decrypted"):
        cipher().decrypt_text("text", old)


def test_the_old_rule_does_not_open_a_new_value() -> None:
    encrypted = cipher().encrypt_text("title", "words")
    with pytest.raises(Terminal, match="cannot be decrypted"):
        encryption.unwrap_key(KEY, "title", encrypted)
    with pytest.raises(Terminal, match="cannot be decrypted"):
        encryption.unwrap_key(KEY, "title", b"\x01" + encrypted[1:])


def test_a_key_unwraps_for_its_owner_only() -> None:
    wrapped = encryption.wrap_key(KEY, "document-key/1", b"k" * 32)
    assert encryption.unwrap_key(KEY, "document-key/1", wrapped) == b"k" * 32
    for master, owner in ((encryption.new_key(), "document-key/1"), (KEY, "document-key/2")):
        with pytest.raises(Terminal, match="cannot be decrypted"):
            encryption.unwrap_key(master, owner, wrapped)


def test_the_same_text_is_never_encrypted_to_the_same_bytes() -> None:
    assert cipher().encrypt_text("text", "again") != cipher().encrypt_text("text", "again")


def test_keyed_hashes_are_per_tenant_and_purpose() -> None:
    one, other = encryption.new_key(), encryption.new_key()
    assert encryption.text_hash(one, "owl") == encryption.text_hash(one, "owl")
    assert encryption.text_hash(one, "owl") != encryption.text_hash(other, "owl")
    assert encryption.text_hash(one, "owl") != encryption.content_hash(one, b"owl")
    assert encryption.token_hash(one, "owl") != encryption.token_hash(other, "owl")
    assert 0 <= encryption.token_hash(one, "owl") < 2**32


@pytest.mark.parametrize("text", ["", "short", base64.b64encode(b"x" * 31).decode(), "not base64 at all!!"])
def test_a_bad_master_key_says_how_to_make_one(text: str) -> None:
    with pytest.raises(Terminal, match="openssl rand -base64 32"):
        encryption.parse_master_key(text)
