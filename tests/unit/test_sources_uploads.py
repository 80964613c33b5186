"""Uploads: sealed where they lie, replaced by name, gone when removed, and no other tenant's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest

from sluice.errors import BadRequest, ExtractionError, Forbidden, Terminal, Transient
from sluice.model.scan import ListingEntry, WorkItem
from sluice.model.source import SourceSpec
from sluice.ports.readers import SourceReader
from sluice.sources import uploads
from sluice.sources.schemes import reader_for
from sluice.testing.blobs import MemoryBlobs
from sluice.testing.keyring import MemoryKeyring


class Place:
    def __init__(self) -> None:
        self.blobs, self.keyring = MemoryBlobs(), MemoryKeyring()

    def store(self, name: str, content: bytes, **more: Any) -> None:
        uploads.store(self.blobs, self.keyring, tenant="t", collection="c", name=name, content=content, **more)

    def reader(self, uri: str = "uploads://t/c", *, max_bytes: int = 1000, **spec: Any) -> SourceReader:
        built = SourceSpec(uri, **{"collection": "c", "tenant": "t", **spec})
        return reader_for(built, max_bytes=max_bytes, blobs=self.blobs, keyring=self.keyring)

    def entries(self, **spec: Any) -> dict[str, ListingEntry]:
        return {entry.external_id: entry for entry in self.reader(**spec).scan()}


@pytest.fixture
def place() -> Place:
    return Place()


def item(entry: ListingEntry) -> WorkItem:
    return WorkItem(uuid4(), entry, new=True)


def test_what_was_sent_is_listed_and_read(place: Place) -> None:
    place.store("a b.md", b"# One", title="First", metadata={"year": 2024})
    place.store("c.txt", b"two")
    result = place.entries()
    assert sorted(result) == ["a b.md", "c.txt"] and result["a b.md"].uri == "uploads://t/c#a%20b.md"
    raw = place.reader().read(item(result["a b.md"]))
    assert (raw.content, raw.title, raw.metadata, raw.mime) == (b"# One", "First", {"year": 2024}, None)
    assert list(place.entries(include=("*.txt",))) == ["c.txt"]


def test_a_dry_scan_lists_the_same_and_leaves_nothing_behind(place: Place) -> None:
    place.store("a.md", b"one")
    before = dict(place.blobs.objects)
    spec = SourceSpec("uploads://t/c", "c", "t")
    dry = reader_for(spec, max_bytes=1000, blobs=place.blobs, keyring=place.keyring, dry=True)
    listed = list(dry.scan())
    assert place.blobs.objects == before
    assert listed == list(place.entries().values()) and place.blobs.objects != before


def test_nothing_readable_lies_in_the_storage(place: Place) -> None:
    place.store("secret-name.md", b"a secret sentence", title="secret title", metadata={"secret": "yes"})
    for path, body in place.blobs.objects.items():
        assert b"secret" not in body and "secret" not in path


def test_a_name_sent_again_replaces_and_the_same_again_changes_nothing(place: Place) -> None:
    place.store("a.md", b"one")
    first, objects = place.entries()["a.md"], len(place.blobs.objects)
    place.store("a.md", b"one")
    assert place.entries()["a.md"] == first
    place.store("a.md", b"two")
    second = place.entries()["a.md"]
    assert second.fingerprint != first.fingerprint and len(place.blobs.objects) == objects
    assert place.reader().read(item(second)).content == b"two"
    place.store("a.md", b"two", title="named")
    assert place.entries()["a.md"].fingerprint != second.fingerprint


def test_removed_erased_and_too_large(place: Place) -> None:
    for name in ("a.md", "b.md"):
        place.store(name, b"x" * 1001)
    before = place.entries()
    uploads.remove(place.blobs, place.keyring, tenant="t", collection="c", names=["a.md"])
    assert list(place.entries()) == ["b.md"]
    for name, code in {"a.md": "vanished", "b.md": "too_large"}.items():
        with pytest.raises(ExtractionError, match=code):
            place.reader().read(item(before[name]))
    uploads.remove(place.blobs, place.keyring, tenant="t", collection="c", names=["a.md", "b.md"])
    assert place.entries() == {}
    place.store("c.md", b"x")
    place.keyring = MemoryKeyring()  # all keys destroyed
    assert place.entries() == {}


def test_keys_go_with_their_uploads(place: Place) -> None:
    names = ["a.md", "b.md", "c.md"]
    ids = {name: uploads.upload_id("t", "c", name) for name in names}
    for name in names:
        place.store(name, b"x")
    uploads.remove(place.blobs, place.keyring, tenant="t", collection="c", names=["a.md", "never.md"])
    assert place.keyring.get(list(ids.values())).keys() == {ids["b.md"], ids["c.md"]}
    place.store("a.md", b"again")
    assert place.reader().read(item(place.entries()["a.md"])).content == b"again"
    uploads.remove_all(place.blobs, place.keyring, tenant="t", collection="c")
    assert place.keyring.get(list(ids.values())) == {} and place.blobs.objects == {}
    uploads.remove_all(place.blobs, place.keyring, tenant="t", collection="c")


def test_what_is_left_of_an_upload_without_its_key_does_not_stop_the_next_one(place: Place) -> None:
    """As a crash leaves it between the key and the objects."""
    place.store("a.md", b"one")
    place.keyring.destroy([uploads.upload_id("t", "c", "a.md")])
    assert place.entries() == {}
    place.store("a.md", b"two")
    assert place.reader().read(item(place.entries()["a.md"])).content == b"two"


def test_an_upload_that_is_removed_while_it_is_sent_leaves_nothing(place: Place) -> None:
    class Removing(MemoryBlobs):
        def write(self, path: str, content: bytes) -> str:
            uri = super().write(path, content)
            if path.endswith("/head"):  # the key is destroyed, the objects are not removed yet
                place.keyring.destroy([uploads.upload_id("t", "c", "a.md")])
            return uri

    place.blobs = Removing()
    with pytest.raises(Transient, match="send it again"):
        place.store("a.md", b"one")
    assert list(place.blobs.objects) == ["uploads/t/c/begun"]


@pytest.mark.parametrize("late", ["content", "begun", "after the head"])
@pytest.mark.parametrize("whole", [False, True])
def test_a_sender_who_was_overtaken_removes_nothing_of_the_next_one(place: Place, late: str, whole: bool) -> None:
    """The upload is removed and sent again while an older sender is before, or right after, its head."""

    class Overtaken(MemoryBlobs):
        def write(self, path: str, content: bytes) -> str:
            uri = super().write(path, content)
            name = path.rpartition("/")[2]
            if (name if name in ("begun", "head") else "content") == late.split()[-1] and place.blobs is self:
                place.blobs = later  # from here on without a stop
                remove_sent(place, whole)
                place.store("a.md", b"later")
            return uri

    later, overtaken = MemoryBlobs(), Overtaken()
    later.objects, later.times = overtaken.objects, overtaken.times
    place.blobs = overtaken
    with pytest.raises(Transient, match="send it again"):
        uploads.store(overtaken, place.keyring, tenant="t", collection="c", name="a.md", content=b"earlier")
    assert place.reader().read(item(place.entries()["a.md"])).content == b"later"
    assert len(place.blobs.objects) == 4  # begun, listed, head, content


@pytest.mark.parametrize("whole", [False, True])
def test_a_removal_takes_nothing_that_is_sent_after_its_key_is_destroyed(place: Place, whole: bool) -> None:
    class Overtaken(MemoryKeyring):
        def destroy(self, document_ids: Sequence[UUID]) -> int:
            gone = super().destroy(document_ids)
            place.store("a.md", b"later")
            return gone

    place.keyring = Overtaken()
    place.store("a.md", b"earlier")
    remove_sent(place, whole)
    assert place.reader().read(item(place.entries()["a.md"])).content == b"later"
    assert len(place.blobs.objects) == 4


def test_a_head_that_an_older_sender_wrote_last_is_not_left(place: Place) -> None:
    """The moment that remains: the other's head is overwritten. Nothing is left that no key opens."""

    class Overtaken(MemoryBlobs):
        def write(self, path: str, content: bytes) -> str:
            if path.endswith("/head") and place.blobs is self:
                place.blobs = later
                remove_sent(place, False)
                place.store("a.md", b"later")
            return super().write(path, content)

    later, overtaken = MemoryBlobs(), Overtaken()
    later.objects, later.times = overtaken.objects, overtaken.times
    place.blobs = overtaken
    with pytest.raises(Transient, match="send it again"):
        uploads.store(overtaken, place.keyring, tenant="t", collection="c", name="a.md", content=b"earlier")
    assert place.entries() == {}
    place.store("a.md", b"again")
    assert place.reader().read(item(place.entries()["a.md"])).content == b"again"


def test_what_cannot_be_read_back_is_not_acknowledged(place: Place) -> None:
    """An older sender's head came in between: under a key that is destroyed."""

    class Overwriting(MemoryBlobs):
        def write(self, path: str, content: bytes) -> str:
            return super().write(path, b"of another key" if path.endswith("/head") else content)

    place.blobs = Overwriting()
    with pytest.raises(Transient, match="send it again"):
        place.store("a.md", b"one")
    assert list(place.blobs.objects) == ["uploads/t/c/begun"]


def remove_sent(place: Place, whole: bool) -> None:
    if whole:
        uploads.remove_all(place.blobs, place.keyring, tenant="t", collection="c")
    else:
        uploads.remove(place.blobs, place.keyring, tenant="t", collection="c", names=["a.md"])


def test_a_storage_without_uploads_is_not_an_empty_source(place: Place) -> None:
    with pytest.raises(Terminal, match="Nothing was deleted"):
        place.entries()


def test_another_tenants_or_collections_uploads_are_not_read(place: Place) -> None:
    for uri in ("uploads://other/c", "uploads://t/other"):
        with pytest.raises(Forbidden):
            place.reader(uri)
    for uri in ("uploads://t", "uploads://t/../c", "uploads://T/c", "uploads://t/c/d"):
        with pytest.raises(BadRequest):
            place.reader(uri)


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 1001])
def test_names_that_cannot_be(place: Place, name: str) -> None:
    with pytest.raises(BadRequest):
        place.store(name, b"x")
    with pytest.raises(BadRequest):
        place.store("a", b"x", metadata={"long": "x" * 70_000})
    assert place.blobs.objects == {}


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("metadata", "path"),
    [
        (nested(260), "metadata" + ".a" * 32),
        ({"a": {"b": [1, "\ud800"]}}, "metadata.a.b[1]"),
        ({"k\0": 1}, "metadata.k"),
        ({"a": float("nan")}, "metadata.a"),
        ({"a": 2**63}, "metadata.a"),
        ({"a": {"k" * 201: 1}}, "its name is longer"),
        ({str(n): n for n in range(1001)}, "more than 1,000 keys"),
    ],
)
def test_metadata_beyond_bounds_is_refused_with_its_path(place: Place, metadata: Any, path: str) -> None:
    with pytest.raises(BadRequest) as refused:
        place.store("a.md", b"x", metadata=metadata)
    assert path in str(refused.value) and place.blobs.objects == {}


class CountedBlobs(MemoryBlobs):
    def __init__(self) -> None:
        super().__init__()
        self.reads: list[str] = []

    def read(self, path: str) -> bytes:
        self.reads.append(path)
        return super().read(path)


def test_a_scan_reads_the_heads_of_what_is_new(place: Place) -> None:
    place.blobs = blobs = CountedBlobs()

    def reads() -> tuple[int, dict[str, ListingEntry]]:
        blobs.reads.clear()
        entries = place.entries()
        return sum(path.endswith("/head") for path in blobs.reads), entries

    for number in range(20):
        place.store(f"{number}.md", b"text %d" % number, metadata={"n": number})
    first = reads()
    assert first[0] == 20 and reads() == (0, first[1]), "the same entries, from the list of the last scan"
    place.store("3.md", b"other text")
    count, entries = reads()
    assert count == 1 and entries["3.md"] != first[1]["3.md"]
    uploads.remove(blobs, place.keyring, tenant="t", collection="c", names=["4.md"])
    assert "4.md" not in reads()[1]
    blobs.write("uploads/t/c/listed", b"{not JSON")
    assert reads()[0] == 19
    assert not any(b"3.md" in body for body in blobs.objects.values()), "each name under its upload's own key"


def test_an_upload_that_lost_its_key_is_not_listed_from_the_list(place: Place) -> None:
    place.store("a.md", b"x")
    place.entries()
    place.keyring = MemoryKeyring()
    assert place.entries() == {}


def test_an_object_that_a_crash_left_does_not_hide_the_head(place: Place) -> None:
    place.store("a.md", b"x")
    before = place.entries()
    folder = f"uploads/t/c/{uploads.upload_id('t', 'c', 'a.md')}"
    place.blobs.write(f"{folder}/of-a-crash", b"?")
    assert place.entries() == before == place.entries()
