"""Entries of the shared cache: which requests share one, and what can be read in it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from sluice.model.catalog import Live
from sluice.model.generation import Generation, Profile
from sluice.model.grants import Principal
from sluice.model.search import SearchRequest
from sluice.retrieval import encrypted_cache
from sluice.retrieval.encrypted_cache import EncryptedCache
from support.byte_caches import MemoryCache

SECRET = bytes(range(32))
REQUEST = SearchRequest("how are pumps inspected", "docs", 5, ("dense",), {"year": 2024}, False, 0.5)
PRINCIPAL = Principal("ann", "acme", frozenset({"staff"}), False)
GENERATION = Generation(UUID(int=1), "docs", 1, Profile("chars:100:0", "hash:4", "off", 4), "docs__g1", ("year",))
PARTS: dict[str, Any] = {
    "request": REQUEST,
    "principal": PRINCIPAL,
    "generation": GENERATION,
    "sources": (UUID(int=2),),
    "epoch": "1 2",
}


def cache(store: MemoryCache | None = None, secret: bytes = SECRET, setup: str = "") -> EncryptedCache:
    return EncryptedCache(store or MemoryCache(), secret, setup)


def name(**changes: Any) -> str:
    return cache().key("search", **{**PARTS, **changes}).name


def another(value: object) -> object:
    """A value of the same type that is not equal."""
    match value:
        case None:
            return 0.5
        case bool():
            return not value
        case str():
            return f"{value}x"
        case int() | float():
            return value + 1
        case UUID():
            return uuid4()
        case tuple():
            return (*value, "other")
        case frozenset():
            return value | {"other"}
        case Mapping():
            return {**value, "other": 1}
        case Profile():
            return replace(value, dim=value.dim + 1)
    raise AssertionError(f"no other value for {value!r}: extend this function")


def different(whole: Any) -> list[tuple[str, Any]]:
    """One copy for each field in which it differs."""
    return [(each.name, replace(whole, **{each.name: another(getattr(whole, each.name))})) for each in fields(whole)]


@pytest.mark.parametrize("part", ["request", "principal", "generation"])
def test_no_two_that_differ_in_any_field_share_an_entry(part: str) -> None:
    names = {name(), *(name(**{part: changed}) for _, changed in different(PARTS[part]))}
    assert len(names) == 1 + len(fields(PARTS[part]))


def test_sources_epoch_kind_setup_secret_and_release_are_parts_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [
        cache().key("search", **PARTS),
        cache().key("vector", **PARTS),
        cache(setup="reranker").key("search", **PARTS),
        cache(secret=os.urandom(32)).key("search", **PARTS),
        cache().key("search", **{**PARTS, "epoch": "1 3"}),
        cache().key("search", **{**PARTS, "sources": ()}),
        cache().key("search", **{**PARTS, "sources": (UUID(int=2), UUID(int=3))}),
    ]
    monkeypatch.setattr(encrypted_cache, "__version__", "999")
    keys.append(cache().key("search", **PARTS))
    assert len({each.name for each in keys}) == len({each.secret for each in keys}) == len(keys)
    assert all(len(each.secret) == 32 for each in keys)


def test_everything_that_live_says_is_a_part_of_it_or_compared() -> None:
    """Weights are a part of the epoch: see test_epochs."""
    parts = {"generation", "sources", "epoch", "read_at", "next_expiry", "weights"}
    assert {each.name for each in fields(Live)} == parts


def test_equal_requests_share_an_entry_however_they_are_spelt() -> None:
    one, other = {"year": {"gte": 1, "lt": 2}, "language": "en"}, {"language": "en", "year": {"lt": 2, "gte": 1}}
    assert name(request=replace(REQUEST, filters=one)) == name(request=replace(REQUEST, filters=other))
    groups = [frozenset(f"g{number}" for number in order) for order in (range(50), reversed(range(50)))]
    assert len({name(principal=replace(PRINCIPAL, groups=each)) for each in groups}) == 1


def test_values_that_only_look_equal_do_not_share_one() -> None:
    values: list[Any] = [1, 1.0, "1", True, None, "true", "null", [1], ["1"], [[1]], {"gte": 1}, {"gte": "1"}, "\ud800"]
    assert len({name(request=replace(REQUEST, filters={"year": each})) for each in values}) == len(values)
    assert name(request=replace(REQUEST, query='a","b')) != name(request=replace(REQUEST, query="a"))


def test_an_unknown_type_is_an_error_and_never_a_shared_entry() -> None:
    with pytest.raises(TypeError, match="object"):
        cache().key("search", part=object())
    assert cache().key("search", at=datetime.now(UTC)).name


@pytest.mark.parametrize("content", [b"", b"short", b"pumps are inspected every month. " * 1000, os.urandom(5000)])
def test_content_comes_back_and_cannot_be_read(content: bytes) -> None:
    store = MemoryCache()
    own = cache(store)
    key = own.key("search", **PARTS)
    own.put(key, content, 60)
    assert own.get(key) == content
    ((at, (value, _)),) = store.values.items()
    assert content == b"" or content[:20] not in value
    assert len(value) < 2000 or content[:5] != b"pumps", "long texts are compressed"
    assert b"pumps" not in at.encode() and repr(key.secret) not in repr(key) and repr(SECRET) not in repr(own)
    own.put(key, content, 60)
    assert store.values[at][0] != value, "a nonce is never used twice"


def test_what_is_damaged_or_moved_or_foreign_is_no_entry() -> None:
    store = MemoryCache()
    own = cache(store)
    key, other = own.key("search", **PARTS), own.key("search", **{**PARTS, "epoch": "2"})
    own.put(key, b"content", 60)
    value, until = store.values[key.name]
    store.values[other.name] = (value, until)
    assert own.get(other) is None
    damaged = [bytes([*value[:at], value[at] ^ 1, *value[at + 1 :]]) for at in range(len(value))]
    for each in (*damaged, *(value[:at] for at in range(len(value))), b"", b"foreign", value + b"\0"):
        store.values[key.name] = (each, until)
        assert own.get(key) is None
    foreign = cache(store, os.urandom(32))
    assert foreign.get(foreign.key("search", **PARTS)) is None
