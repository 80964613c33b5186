"""Artefacts give back what was put in, and hold nothing readable."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID, uuid4

import numpy as np
import pytest

from sluice.encryption import Cipher, ciphers, new_key
from sluice.errors import Terminal
from sluice.model.chunk import Chunk, ChunkedDocument, EmbeddedChunk, EmbeddedDocument, Mention, Relation, SparseVector
from sluice.model.document import Document
from sluice.model.scan import ListingEntry, WorkItem
from sluice.pipeline import artefacts
from support.old_cipher import OldCipher

PLACE = "runs/r/00000/1-extracted.parquet"
TEXT = "Improbable quokkas memorise timetables. Every Thursday they forget them again."


def item(new: bool = True) -> WorkItem:
    entry = ListingEntry("a/b%20c.md", "file:///x/a/b%2520c.md", "12:34", 99, 7, locator="plain-hash")
    return WorkItem(uuid4(), entry, new, None if new else b"\x01" * 20)


def document(text: str = TEXT) -> Document:
    return Document(item(), "text/markdown", "Quokkas", text, b"\x02" * 20, {"year": 2026, "tags": ["a"]}, (0, 40))


def chunk(of: Document, ordinal: int, start: int, end: int) -> Chunk:
    mentions = (Mention(uuid4(), "ORG", "Quokka Rail", 2), Mention(uuid4(), "GPE", "Perth", 0, about=True))
    said = (Relation(mentions[0].entity_id, "located_in", mentions[1].entity_id),)
    text, headings, text_hash = of.text[start:end], ("H",), b"\x03" * 20
    return Chunk(uuid4(), of.document_id, ordinal, text, "Quokkas", start, end, 1, headings, text_hash, mentions, said)


def keys(*documents: Document) -> dict[UUID, Cipher]:
    return ciphers("acme", {each.document_id: new_key() for each in documents})


def test_items() -> None:
    items = [item(), item(new=False)]
    secret = ciphers("acme", {each.document_id: new_key() for each in items})
    content = artefacts.dump_items(items, secret, "a path")
    assert artefacts.load_items(content, secret, "a path") == items
    assert b"plain-hash" not in content
    erased = items[0].document_id
    known = {each: secret[each] for each in secret if each != erased}
    assert artefacts.load_items(content, known, "a path") == items[1:]
    with pytest.raises(Terminal):
        artefacts.load_items(content, secret, "another path")
    assert artefacts.load_items(artefacts.dump_items([], {}, ""), {}, "") == []


def test_documents() -> None:
    documents = [document(), document("\ud800 odd")]
    secret = keys(*documents)
    content = artefacts.dump_documents(documents, secret, PLACE)
    assert artefacts.document_ids(content) == [each.document_id for each in documents]
    assert artefacts.load_documents(content, secret, PLACE) == documents
    assert b"quokkas memorise" not in content and b"Quokkas" not in content


def test_an_artefact_does_not_open_in_the_place_of_another() -> None:
    one = document()
    secret = keys(one)
    content = artefacts.dump_documents([one], secret, PLACE)
    for other in (
        "runs/r/00000/2-validated.parquet",
        "runs/r/00001/1-extracted.parquet",
        "runs/s/00000/1-extracted.parquet",
    ):
        with pytest.raises(Terminal, match="cannot be decrypted"):
            artefacts.load_documents(content, secret, other)


def test_an_artefact_of_release_0_2_opens() -> None:
    key, one = new_key(), document()
    old = artefacts.dump_documents([one], {one.document_id: OldCipher(key, "acme", one.document_id)}, PLACE)
    assert artefacts.load_documents(old, ciphers("acme", {one.document_id: key}), PLACE) == [one]


def test_vectors() -> None:
    first, blank = document(), document("")
    secret = keys(first, blank)
    embedded = [
        EmbeddedDocument(
            first,
            tuple(
                EmbeddedChunk(
                    chunk(first, i, start, end),
                    np.arange(4, dtype=np.float32) + i,
                    SparseVector(np.arange(i + 1, dtype=np.uint32), np.ones(i + 1, dtype=np.float32)),
                )
                for i, (start, end) in enumerate([(0, 39), (40, len(TEXT))])
            ),
        ),
        EmbeddedDocument(blank, ()),
    ]
    back = artefacts.load_embedded(artefacts.dump_embedded(embedded, secret, PLACE), secret, PLACE)
    assert [each.document for each in back] == [first, blank]
    for before, after in zip(embedded, back, strict=True):
        assert [each.chunk for each in before.chunks] == [each.chunk for each in after.chunks]
        for one, other in zip(before.chunks, after.chunks, strict=True):
            assert np.array_equal(one.dense, other.dense)
            assert np.array_equal(one.sparse.indices, other.sparse.indices)
            assert np.array_equal(one.sparse.values, other.sparse.values)


def test_chunks() -> None:
    of = document()
    chunked = [ChunkedDocument(of, (chunk(of, 0, 0, 39),))]
    secret = keys(of)
    assert artefacts.load_chunked(artefacts.dump_chunked(chunked, secret, PLACE), secret, PLACE) == chunked


def test_chunks_of_an_older_release_have_no_relations(monkeypatch: pytest.MonkeyPatch) -> None:
    of = document()
    chunked = [ChunkedDocument(of, (chunk(of, 0, 0, 39),))]
    secret = keys(of)
    output = artefacts._chunk_json
    monkeypatch.setattr(
        artefacts, "_chunk_json", lambda each: {k: v for k, v in output(each).items() if k != "relations"}
    )
    ((old,),) = (
        each.chunks for each in artefacts.load_chunked(artefacts.dump_chunked(chunked, secret, PLACE), secret, PLACE)
    )
    assert old == replace(chunked[0].chunks[0], relations=())
