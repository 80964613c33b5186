"""Rebuilds points and graph contributions from ledger chunks, with vectors from the cache."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from uuid import UUID

from sluice.chunking.rebuilt import Contexts
from sluice.embedding import account, embedding
from sluice.encryption import Cipher
from sluice.errors import Terminal
from sluice.indexing import loading
from sluice.model.chunk import Chunk, ChunkedDocument, EmbeddedDocument, Mention, SparseVector
from sluice.model.document import Document
from sluice.model.generation import Generation
from sluice.model.grants import ALL_GROUPS
from sluice.model.points import LedgerChunk, Point
from sluice.model.scan import ListingEntry, WorkItem
from sluice.model.source import Source, SourceSpec
from sluice.ports.content import Embedder, Keyring
from sluice.ports.vector_cache import VectorCache


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """Rebuilt points, without those of unreadable chunks."""

    points: list[Point]
    computed: int  # vectors missing from the cache
    unreadable: list[UUID]  # the document's key is destroyed, or the text does not match its hash


@dataclass(frozen=True)
class Rebuilder:
    """Rebuilds chunks of one generation. Decrypted keys and metadata are not kept between calls."""

    generation: Generation
    keyring: Keyring
    cache: VectorCache
    embedder: Callable[[str], Embedder]
    tokenizer: Callable[[], Any]

    @cached_property
    def _contexts(self) -> Contexts:
        return Contexts(self.generation.profile.chunker, self.tokenizer)

    def payloads(self, chunks: Sequence[LedgerChunk]) -> dict[UUID, dict[str, Any]]:
        """Returns the expected payloads of these chunks. A chunk whose document has no key (erased) is left out."""
        ciphers = self._ciphers(chunks)
        metadata: dict[UUID, dict[str, Any]] = {}  # by version: its chunks share it
        payloads: dict[UUID, dict[str, Any]] = {}
        for chunk in chunks:
            if cipher := ciphers.get(chunk.document_id):
                if chunk.version_id not in metadata:
                    metadata[chunk.version_id] = cipher.decrypt_json("metadata", chunk.sealed_metadata)
                place = (chunk.tenant, chunk.source_id, chunk.document_id, chunk.mime)
                payloads[chunk.chunk_id] = loading.payload(self.generation, *place, metadata[chunk.version_id])
        return payloads

    def points(self, chunks: Sequence[LedgerChunk]) -> Rebuilt:
        """Rebuilds points as `load` writes them. Dense vectors come from the cache and are computed where missing."""
        points: list[Point] = []
        computed, readable = 0, set[UUID]()
        ciphers, profile = self._ciphers(chunks), self.generation.profile
        for source, own in self.by_source(chunks):
            index_key = self.keyring.index_key(source.spec.tenant)
            embedded, cost = embedding.embed(
                list(self._documents(own, ciphers, index_key)),
                embedder=self.embedder(profile.embedder),
                dim=profile.dim,
                cache=self.cache,
                index_key=index_key,
                account=account.Unlimited(),
            )
            computed += cost.computed
            _check_vectors(profile.embedder, embedded)
            rebuilt = [loading.point(source, each, one.chunk.chunk_id, one) for each in embedded for one in each.chunks]
            readable |= {point.chunk_id for point in rebuilt}
            points += rebuilt
        return Rebuilt(points, computed, [each.chunk_id for each in chunks if each.chunk_id not in readable])

    def terms(self, chunks: Sequence[LedgerChunk]) -> dict[UUID, SparseVector]:
        """Returns the sparse vectors of these chunks, without those of unreadable ones. Nothing is embedded."""
        ciphers = self._ciphers(chunks)
        terms: dict[UUID, SparseVector] = {}
        for source, own in self.by_source(chunks):
            index_key = self.keyring.index_key(source.spec.tenant)
            documents = list(self._documents(own, ciphers, index_key))
            ids = [chunk.chunk_id for document in documents for chunk in document.chunks]
            terms |= zip(ids, embedding.terms_of(documents, index_key), strict=True)
        return terms

    def _documents(
        self, chunks: Sequence[LedgerChunk], ciphers: dict[UUID, Cipher], index_key: bytes
    ) -> Iterable[ChunkedDocument]:
        by_version: dict[UUID, list[LedgerChunk]] = defaultdict(list)
        for chunk in chunks:
            if chunk.document_id in ciphers:
                by_version[chunk.version_id].append(chunk)
        for own in by_version.values():
            cipher, first = ciphers[own[0].document_id], own[0]
            title = cipher.decrypt_text("title", first.sealed_title)
            rebuilt = [self._chunk(chunk, title, cipher, index_key) for chunk in own]
            metadata = cipher.decrypt_json("metadata", first.sealed_metadata)
            item = WorkItem(first.document_id, ListingEntry("", "", "", 0), new=False)
            document = Document(item, first.mime, title, "", b"", metadata, language=first.language)
            yield ChunkedDocument(document, tuple(each for each in rebuilt if each is not None))

    def _chunk(self, row: LedgerChunk, title: str, cipher: Cipher, index_key: bytes) -> Chunk | None:
        text = cipher.decrypt_text("chunk", row.sealed_text, row.chunk_id)
        headings = cipher.decrypt_json("headings", row.sealed_headings, row.chunk_id)
        context = self._contexts.find(title, headings, text, row.text_hash, index_key)
        if context is None:
            return None
        return Chunk(
            chunk_id=row.chunk_id,
            document_id=row.document_id,
            ordinal=row.ordinal,
            text=text,
            context=context,
            start=0,  # positions in the document are only in the ledger
            end=len(text),
            page=None,
            headings=tuple(headings),
            text_hash=row.text_hash,
        )

    def mentions(self, chunks: Sequence[LedgerChunk]) -> dict[UUID, tuple[Mention, ...]]:
        """Returns mentions with names, by chunk. A chunk whose document has no key (erased) is left out."""
        ciphers = self._ciphers(chunks)
        mentions: dict[UUID, tuple[Mention, ...]] = {}
        for row in chunks:
            if row.document_id in ciphers:
                names = ciphers[row.document_id].decrypt_json("names", row.sealed_names, row.chunk_id)
                mentions[row.chunk_id] = tuple(
                    Mention(each.entity_id, each.kind, names[str(each.entity_id)], each.occurrences, each.about)
                    for each in row.mentions
                )
        return mentions

    def _ciphers(self, chunks: Sequence[LedgerChunk]) -> dict[UUID, Cipher]:
        tenants = {chunk.document_id: chunk.tenant for chunk in chunks}
        keys = self.keyring.get(list(tenants))
        return {document_id: Cipher(key, tenants[document_id], document_id) for document_id, key in keys.items()}

    def by_source(self, chunks: Iterable[LedgerChunk]) -> list[tuple[Source, list[LedgerChunk]]]:
        """Returns sources with the part of their spec that projections contain, each with its chunks."""
        owners: dict[tuple[str, UUID], list[LedgerChunk]] = defaultdict(list)
        for chunk in chunks:
            owners[chunk.tenant, chunk.source_id].append(chunk)
        return [(self._source(*owner), own) for owner, own in owners.items()]

    def _source(self, tenant: str, source_id: UUID) -> Source:
        spec = SourceSpec("", self.generation.collection, tenant, access_groups=(ALL_GROUPS,))
        return Source(source_id, spec, self.generation)


def _check_vectors(embedder: str, embedded: Sequence[EmbeddedDocument]) -> None:
    """Checks new vectors, because no gate runs here. Raises Terminal."""
    for document in embedded:
        if not all(embedding.unit_length(each.dense[None, :]).all() for each in document.chunks):
            raise Terminal(
                f"The embedder {embedder} returned a vector that is not finite or not of length 1, for document "
                f"{document.document.document_id}. It was not written. Check the model's files or endpoint and "
                "run this again."
            )


def as_stored(payload: Any) -> str:
    """Returns a payload as canonical JSON, to compare the expected one with the stored one."""
    return json.dumps(payload, sort_keys=True, default=str)
