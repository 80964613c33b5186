"""Writes embedded documents into ledger, vectors and graph, in an order that is safe after a crash at any point:

1. Pending versions with their chunks are committed to the ledger.
2. Points and graph contributions are written beside those that are served. Hydration does not return them yet, because
   their versions are not active.
3. One ledger transaction activates the versions and adds replaced chunks to the outbox.
4. The outbox entries are processed and deleted.

A rerun after a crash repeats these idempotent steps. Nothing is embedded here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

from sluice.encryption import Cipher, ciphers
from sluice.indexing.stores import Stores
from sluice.model.chunk import Chunk, EmbeddedChunk, EmbeddedDocument
from sluice.model.filters import comparable
from sluice.model.generation import Generation
from sluice.model.points import EncryptedChunk, EncryptedMention, EncryptedVersion, GraphChunk, Point
from sluice.model.run import Run
from sluice.model.source import Source
from sluice.ports.content import Keyring
from sluice.ports.versions import Versions


@dataclass(frozen=True, slots=True)
class Loaded:
    """The result of `load`."""

    written: int = 0  # chunks
    removed: int = 0  # chunks that the new versions no longer have
    # Documents beyond the tenant's quota: what is served of them is as before.
    over_quota: frozenset[UUID] = frozenset()
    superseded: frozenset[UUID] = frozenset()  # documents that a later run supersedes, or that were erased


def load(
    run: Run, documents: Sequence[EmbeddedDocument], *, versions: Versions, keyring: Keyring, stores: Stores
) -> Loaded:
    """Writes and activates documents. Raises Transient or Terminal; what is served is then as before."""
    if not documents:
        return Loaded()
    generation = run.source.generation
    own = ciphers(run.source.spec.tenant, keyring.get([each.document.document_id for each in documents]))
    superseded = frozenset(each.document.document_id for each in documents) - own.keys()
    documents = [each for each in documents if each.document.document_id in own]
    staged = [encrypted_version(run, each, own[each.document.document_id]) for each in documents]
    superseded |= versions.stage(run, staged)
    # Superseded documents have no pending version, so nothing would delete what is written for them now.
    documents = [each for each in documents if each.document.document_id not in superseded]
    ids = [each.document.document_id for each in documents]

    if documents:
        _project(run.source, documents, stores)

    over_quota = frozenset(versions.activate(run, ids))
    removed = stores.drain(generation, wait=False)
    written = sum(len(each.chunks) for each in documents if each.document.document_id not in over_quota)
    return Loaded(written, removed, over_quota, superseded)


def _project(source: Source, documents: Sequence[EmbeddedDocument], stores: Stores) -> None:
    points = [point(source, each, embedded.chunk.chunk_id, embedded) for each in documents for embedded in each.chunks]
    projections: list[Callable[[], None]] = [lambda: stores.vectors.upsert(source.generation, points)]
    if graph := stores.graph_of(source.generation):
        contributions = [graph_chunk(embedded.chunk) for each in documents for embedded in each.chunks]
        projections.append(lambda: graph.write(source, contributions))
    _together(projections)


def encrypted_version(run: Run, embedded: EmbeddedDocument, cipher: Cipher) -> EncryptedVersion:
    """Returns the ledger row of a version, with text, title, metadata and chunks encrypted. Its id is the same for
    every attempt of the run."""
    document = embedded.document
    return EncryptedVersion(
        version_id=uuid5(run.run_id, str(document.document_id)),
        document_id=document.document_id,
        fingerprint=document.item.entry.fingerprint,
        raw_hash=document.raw_hash,
        mime=document.mime,
        size_bytes=document.item.entry.size_bytes,
        sealed_title=cipher.encrypt_text("title", document.title),
        sealed_text=cipher.encrypt_text("text", document.text),
        sealed_metadata=cipher.encrypt_json("metadata", document.metadata),
        chunks=tuple(_encrypted_chunk(each, cipher) for each in embedded.chunks),
        language=document.language,
    )


def _encrypted_chunk(embedded: EmbeddedChunk, cipher: Cipher) -> EncryptedChunk:
    chunk = embedded.chunk
    names = {str(each.entity_id): each.name for each in chunk.mentions}
    return EncryptedChunk(
        chunk_id=chunk.chunk_id,
        ordinal=chunk.ordinal,
        start=chunk.start,
        end=chunk.end,
        page=chunk.page,
        text_hash=chunk.text_hash,
        sealed_text=cipher.encrypt_text("chunk", chunk.text, chunk.chunk_id),
        sealed_headings=cipher.encrypt_json("headings", chunk.headings, chunk.chunk_id),
        sealed_names=cipher.encrypt_json("names", names, chunk.chunk_id),
        mentions=tuple(EncryptedMention(each.entity_id, each.kind, each.count, each.about) for each in chunk.mentions),
        terms=embedded.sparse,
        relations=chunk.relations,
    )


def point(source: Source, each: EmbeddedDocument, chunk_id: UUID, embedded: EmbeddedChunk) -> Point:
    """Returns the point of a chunk: vectors, ids and declared filter fields. Other metadata stays in the ledger."""
    generation, document = source.generation, each.document
    about = payload(
        generation, source.spec.tenant, source.source_id, document.document_id, document.mime, document.metadata
    )
    return Point(chunk_id, embedded.dense, embedded.sparse, about)


def payload(
    generation: Generation, tenant: str, source_id: UUID, document_id: UUID, mime: str, metadata: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns the payload of a point."""
    return {
        "tenant": tenant,
        "source_id": str(source_id),
        "document_id": str(document_id),
        "meta": filterable({"mime": mime, **metadata}, generation.filter_fields),
    }


def filterable(metadata: Mapping[str, Any], fields: Sequence[str]) -> dict[str, Any]:
    """Returns the declared fields whose values filters can compare."""
    return {name: metadata[name] for name in fields if comparable(metadata.get(name))}


def graph_chunk(chunk: Chunk) -> GraphChunk:
    """Returns the graph contribution of a chunk: its mentions and relations, without its text."""
    return GraphChunk(chunk.chunk_id, chunk.document_id, chunk.ordinal, chunk.mentions, chunk.relations)


def _together(calls: Sequence[Callable[[], None]]) -> None:
    """Runs calls in parallel, waits for all of them and raises the first error."""
    if len(calls) == 1:
        return calls[0]()
    with ThreadPoolExecutor(len(calls)) as pool:
        for future in [pool.submit(call) for call in calls]:
            future.result()
