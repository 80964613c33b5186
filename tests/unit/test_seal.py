"""Sealing: what is sealed opens with its key and purpose only; keyed hashes differ between tenants."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice import seal
from sluice.errors import Terminal


@given(st.text(), st.sampled_from(["title", "text", "chunk"]))
def test_round_trip(text: str, purpose: str) -> None:
    key = seal.new_key()
    sealed = seal.seal_text(key, purpose, text)
    assert seal.unseal_text(key, purpose, sealed) == text
    assert len(text) < 4 or text.encode("utf-8", "surrogatepass") not in sealed


def test_lone_surrogates_survive() -> None:
    key = seal.new_key()
    assert seal.unseal_text(key, "text", seal.seal_text(key, "text", "a\ud800b")) == "a\ud800b"


def test_another_key_purpose_or_byte_does_not_open() -> None:
    key = seal.new_key()
    sealed = seal.seal_text(key, "title", "The same words")
    altered = sealed[:-1] + bytes([sealed[-1] ^ 1])
    for wrong in ((seal.new_key(), "title", sealed), (key, "text", sealed), (key, "title", altered)):
        with pytest.raises(Terminal, match="does not open"):
            seal.unseal_text(*wrong)
    with pytest.raises(Terminal, match="newer release"):
        seal.unseal_text(key, "title", b"\x07" + sealed[1:])


def test_the_same_text_is_never_sealed_to_the_same_bytes() -> None:
    key = seal.new_key()
    assert seal.seal_text(key, "text", "again") != seal.seal_text(key, "text", "again")


def test_keyed_hashes_are_per_tenant_and_purpose() -> None:
    one, other = seal.new_key(), seal.new_key()
    assert seal.text_hash(one, "owl") == seal.text_hash(one, "owl")
    assert seal.text_hash(one, "owl") != seal.text_hash(other, "owl")
    assert seal.text_hash(one, "owl") != seal.content_hash(one, b"owl")
    assert seal.token_hash(one, "owl") != seal.token_hash(other, "owl")
    assert 0 <= seal.token_hash(one, "owl") < 2**32


@pytest.mark.parametrize("text", ["", "short", base64.b64encode(b"x" * 31).decode(), "not base64 at all!!"])
def test_a_bad_master_key_says_how_to_make_one(text: str) -> None:
    with pytest.raises(Terminal, match="openssl rand -base64 32"):
        seal.parse_master_key(text)
