"""Artefacts that tasks pass to each other: one Parquet file per stage and batch, one row per document.

Text, title, metadata and locators are encrypted. Names, addresses and sizes in `0-scanned` are not.

    runs/<run>/<batch>/0-scanned.parquet    document_id, external_id, uri, fingerprint, size, offset, locator, …
    runs/<run>/<batch>/1-extracted.parquet  document_id, body (encrypted JSON: the Document)
    runs/<run>/<batch>/2-validated.parquet  the same, without the documents that the gate quarantined
    runs/<run>/<batch>/3-chunked.parquet    body also holds the chunks (offsets into the text, mentions, relations)
    runs/<run>/<batch>/4-embedded.parquet   + dense (k·dim float32), sparse_lengths, sparse_indices, sparse_values

A retry reads one number and writes the next. A file is written completely or not at all.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.encryption import Cipher
from sluice.model.chunk import Chunk, ChunkedDocument, EmbeddedChunk, EmbeddedDocument, Mention, Relation, SparseVector
from sluice.model.document import Document
from sluice.model.scan import ListingEntry, WorkItem

Ciphers = Mapping[UUID, Cipher]  # by document
_PURPOSE = "artefact"
_LOCATOR = "locator"
# Fields that are stored as they are.
_OF_ENTRY = ("external_id", "uri", "fingerprint", "size_bytes", "offset")
_OF_DOCUMENT = ("mime", "title", "text", "metadata")
_OF_CHUNK = ("ordinal", "context", "start", "end", "page")


@dataclass(frozen=True, slots=True)
class Artefact:
    """One file of a batch. Its name is part of stored paths and of lineage."""

    name: str
    dump: Callable[[Sequence[Any], Ciphers, str], bytes]
    load: Callable[[bytes, Ciphers, str], list[Any]]
    suite: str | None = None  # of the gate of the stage that reads it: lineage has gate results of inputs only

    def path(self, run_id: UUID, batch: int) -> str:
        """Returns the file's path in object storage."""
        return f"{folder(run_id, batch)}/{self.name}.parquet"


def folder(run_id: UUID, batch: int) -> str:
    """Returns the folder of a batch's artefacts in object storage."""
    return f"runs/{run_id}/{batch:05d}"


# --- 0: work items of the scan ------------------------------------------------------------------------------


def dump_items(items: Iterable[WorkItem], ciphers: Ciphers, path: str) -> bytes:
    """Encrypts the locator, because it may be a hash of the content."""
    return _write([{**_item_json(item), "locator": _encrypted_locator(item, ciphers, path)} for item in items])


def load_items(content: bytes, ciphers: Ciphers, path: str) -> list[WorkItem]:
    """Leaves out items whose key was destroyed since."""
    items = []
    for row in _rows(content):
        encrypted, cipher = row.get("locator", b""), ciphers.get(UUID(bytes=row["document_id"]))
        if not encrypted:
            items.append(_item({**row, "locator": ""}))
        elif cipher is not None:
            items.append(_item({**row, "locator": cipher.decrypt_text(_LOCATOR, encrypted, path)}))
    return items


def _encrypted_locator(item: WorkItem, ciphers: Ciphers, path: str) -> bytes:
    locator = item.entry.locator
    return ciphers[item.document_id].encrypt_text(_LOCATOR, locator, path) if locator else b""


# --- 1 and 2: documents -------------------------------------------------------------------------------------


def dump_documents(documents: Sequence[Document], ciphers: Ciphers, path: str) -> bytes:
    """Returns the Parquet file, one row per document. Leaves out documents whose key was destroyed."""
    return _write([_encrypted_row(each, (), ciphers, path) for each in documents if each.document_id in ciphers])


def load_documents(content: bytes, ciphers: Ciphers, path: str) -> list[Document]:
    """Leaves out documents whose key was destroyed since."""
    return [_document(_body(row, ciphers, path)) for row in _with_keys(content, ciphers)]


# --- 3: chunks ----------------------------------------------------------------------------------------------


def dump_chunked(documents: Sequence[ChunkedDocument], ciphers: Ciphers, path: str) -> bytes:
    """Returns the Parquet file, one row per document with its chunks. Leaves out documents whose key was destroyed."""
    readable = [each for each in documents if each.document.document_id in ciphers]
    return _write([_encrypted_row(each.document, each.chunks, ciphers, path) for each in readable])


def load_chunked(content: bytes, ciphers: Ciphers, path: str) -> list[ChunkedDocument]:
    """Leaves out documents whose key was destroyed since."""
    return [_chunked(_body(row, ciphers, path)) for row in _with_keys(content, ciphers)]


# --- 4: vectors ---------------------------------------------------------------------------------------------


def dump_embedded(documents: Sequence[EmbeddedDocument], ciphers: Ciphers, path: str) -> bytes:
    """Returns the Parquet file, one row per document with its chunks and their vectors, which are not encrypted. Leaves
    out documents whose key was destroyed."""
    rows = []
    for embedded in documents:
        if embedded.document.document_id not in ciphers:
            continue
        row = _encrypted_row(embedded.document, [each.chunk for each in embedded.chunks], ciphers, path)
        sparse = [each.sparse for each in embedded.chunks]
        row["dense"] = _joined([each.dense for each in embedded.chunks], np.float32)
        row["sparse_lengths"] = np.array([len(vector.indices) for vector in sparse], dtype=np.int32)
        row["sparse_indices"] = _joined([vector.indices for vector in sparse], np.uint32)
        row["sparse_values"] = _joined([vector.values for vector in sparse], np.float32)
        rows.append(row)
    return _write(rows)


def load_embedded(content: bytes, ciphers: Ciphers, path: str) -> list[EmbeddedDocument]:
    """Returns documents with vectors as float32 arrays. Leaves out documents whose key was destroyed since."""
    return [_embedded(row, _chunked(_body(row, ciphers, path))) for row in _with_keys(content, ciphers)]


# --- the artefacts, in order -------------------------------------------------------------------------------

SCANNED = Artefact("0-scanned", dump_items, load_items)
EXTRACTED = Artefact("1-extracted", dump_documents, load_documents, suite="documents")
VALIDATED = Artefact("2-validated", dump_documents, load_documents)
CHUNKED = Artefact("3-chunked", dump_chunked, load_chunked, suite="chunks")
EMBEDDED = Artefact("4-embedded", dump_embedded, load_embedded, suite="vectors")


# --- rows ---------------------------------------------------------------------------------------------------


def document_ids(content: bytes) -> list[UUID]:
    """Returns the document id of every row without decrypting anything, to request their keys."""
    column = pq.read_table(io.BytesIO(content), columns=["document_id"]).column(0) if content else []
    return [UUID(bytes=value.as_py()) for value in column]


def _write(rows: list[dict[str, Any]]) -> bytes:
    if not rows:
        return b""  # an empty file is an empty batch: Parquet would need a schema even without rows
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, compression="zstd")
    return sink.getvalue()


def _rows(content: bytes) -> list[dict[str, Any]]:
    if not content:
        return []
    table = pq.read_table(io.BytesIO(content))
    numeric = {name for name in table.column_names if name == "dense" or name.startswith("sparse_")}
    columns = {
        name: [value.values.to_numpy() for value in table.column(name)]
        if name in numeric
        else table.column(name).to_pylist()
        for name in table.column_names
    }
    return [{name: column[i] for name, column in columns.items()} for i in range(table.num_rows)]


def _with_keys(content: bytes, ciphers: Ciphers) -> list[dict[str, Any]]:
    """Leaves out documents that were erased since: their keys are destroyed."""
    return [row for row in _rows(content) if UUID(bytes=row["document_id"]) in ciphers]


def _encrypted_row(document: Document, chunks: Sequence[Chunk], ciphers: Ciphers, path: str) -> dict[str, Any]:
    active = document.item.active_hash
    item = {"document_id": str(document.document_id), "active_hash": active.hex() if active else None}
    body = {
        "item": {**_item_json(document.item), **item},
        **_fields(document, _OF_DOCUMENT),
        "raw_hash": document.raw_hash.hex(),
        "page_starts": document.page_starts,
        "language": document.language,
        "chunks": [_chunk_json(chunk) for chunk in chunks],
    }
    cipher = ciphers[document.document_id]
    return {"document_id": document.document_id.bytes, "body": cipher.encrypt_json(_PURPOSE, body, path)}


def _body(row: Mapping[str, Any], ciphers: Ciphers, path: str) -> dict[str, Any]:
    body: dict[str, Any] = ciphers[UUID(bytes=row["document_id"])].decrypt_json(_PURPOSE, row["body"], path)
    item = body["item"]
    item["document_id"] = row["document_id"]
    item["active_hash"] = bytes.fromhex(item["active_hash"]) if item["active_hash"] else None
    return body


def _item_json(item: WorkItem) -> dict[str, Any]:
    return {
        "document_id": item.document_id.bytes,
        **_fields(item.entry, (*_OF_ENTRY, "locator")),
        "new": item.new,
        "moved": item.renamed,
        "gone": item.deleted,
        "active_hash": item.active_hash,
    }


def _item(row: Mapping[str, Any]) -> WorkItem:
    # A run that an older release started has no locators.
    entry = ListingEntry(**{name: row[name] for name in _OF_ENTRY}, locator=row.get("locator", ""))
    document_id, deleted = UUID(bytes=row["document_id"]), row.get("gone", False)
    return WorkItem(document_id, entry, row["new"], row["active_hash"], row["moved"], deleted)


def _document(body: Mapping[str, Any]) -> Document:
    plain = {name: body[name] for name in _OF_DOCUMENT}
    raw_hash, page_starts = bytes.fromhex(body["raw_hash"]), tuple(body["page_starts"])
    # A run that an older release started has no languages.
    language = body.get("language")
    return Document(_item(body["item"]), raw_hash=raw_hash, page_starts=page_starts, language=language, **plain)


def _chunk_json(chunk: Chunk) -> dict[str, Any]:
    return {
        "chunk_id": str(chunk.chunk_id),
        **_fields(chunk, _OF_CHUNK),
        "headings": chunk.headings,
        "text_hash": chunk.text_hash.hex(),
        "mentions": [(str(each.entity_id), each.kind, each.name, each.count, each.about) for each in chunk.mentions],
        "relations": [(str(each.head_id), each.kind, str(each.tail_id)) for each in chunk.relations],
    }


def _chunked(body: Mapping[str, Any]) -> ChunkedDocument:
    document = _document(body)
    return ChunkedDocument(document, tuple(_chunk(row, document) for row in body["chunks"]))


def _chunk(row: Mapping[str, Any], document: Document) -> Chunk:
    return Chunk(
        chunk_id=UUID(row["chunk_id"]),
        document_id=document.document_id,
        text=document.text[row["start"] : row["end"]],
        **{name: row[name] for name in _OF_CHUNK},
        headings=tuple(row["headings"]),
        text_hash=bytes.fromhex(row["text_hash"]),
        # A run that an older release started has mentions without `about`, and chunks without relations.
        mentions=tuple(Mention(UUID(each[0]), *each[1:]) for each in row["mentions"]),
        relations=tuple(Relation(UUID(head), kind, UUID(tail)) for head, kind, tail in row.get("relations", ())),
    )


def _embedded(row: Mapping[str, Any], chunked: ChunkedDocument) -> EmbeddedDocument:
    count = len(chunked.chunks)
    dense = row["dense"].reshape(count, -1) if count else np.zeros((0, 0), np.float32)
    ends = np.cumsum(row["sparse_lengths"])
    indices = np.split(row["sparse_indices"], ends[:-1])
    values = np.split(row["sparse_values"], ends[:-1])
    sparse = map(SparseVector, indices, values)
    return EmbeddedDocument(chunked.document, tuple(map(EmbeddedChunk, chunked.chunks, dense, sparse)))


def _fields(value: object, names: Iterable[str]) -> dict[str, Any]:
    return {name: getattr(value, name) for name in names}


def _joined(arrays: Sequence[np.ndarray], dtype: type) -> np.ndarray:
    return np.concatenate(arrays).astype(dtype, copy=False) if arrays else np.zeros(0, dtype)
