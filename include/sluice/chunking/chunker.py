"""Splits documents into chunks at headings, paragraphs and sentences, with exact offsets and stable ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

from sluice.chunking.about import about
from sluice.chunking.cutter import Cutter, parse_profile
from sluice.model.chunk import Chunk, ChunkedDocument, Mention, Relation
from sluice.model.document import Document
from sluice.model.sizes import split_by_size
from sluice.model.text import encodable
from sluice.ports.content import EntityExtractor, EntityIds, Recognized

if TYPE_CHECKING:
    from tokenizers import Tokenizer


_ABOUT = "PHRASE"  # kind of entities that only a title or heading names
_BATCH_CHARS = 1_000_000
_BATCH_CHUNKS = 1_000


def chunk(
    documents: Sequence[Document], *, profile: str, index_key: bytes, tokenizer: Tokenizer | None = None
) -> list[ChunkedDocument]:
    """Returns one result for each document, in order; `text == document.text[start:end]` for each chunk.

    `profile` is `tokens:<max>:<overlap>` (wordpieces of `tokenizer`; max bounds the embedded
    text with its context and special tokens) or `chars:<max>:<overlap>` (max bounds the text alone). A document that
    fits is one chunk, a blank one is none. Raises BadRequest on an unknown profile.
    """
    cutter = Cutter(parse_profile(profile), index_key, tokenizer)
    # Encodings take a hundred times the memory of their text.
    parts = split_by_size(documents, lambda document: len(document.text), _BATCH_CHARS)
    return [result for part in parts for result in cutter.cut(part)]


def size_shares(
    documents: Sequence[ChunkedDocument], *, profile: str, tokenizer: Tokenizer | None = None
) -> list[float]:
    """Returns for each chunk, in order, its size divided by the profile's limit; above 1 it is too long.

    Measures with the tokenizer the text that will be embedded, independently of the chunker.
    """
    chunker = parse_profile(profile)
    chunks = [chunk for document in documents for chunk in document.chunks]
    if chunker.unit == "chars" or tokenizer is None:
        return [len(chunk.text) / chunker.max_size for chunk in chunks]
    shares: list[float] = []
    for start in range(0, len(chunks), _BATCH_CHUNKS):
        texts = [encodable(chunk.embedded_text) for chunk in chunks[start : start + _BATCH_CHUNKS]]
        shares += [len(encoding) / chunker.max_size for encoding in tokenizer.encode_batch_fast(texts)]
    return shares


def with_mentions(
    chunked: Sequence[ChunkedDocument], extractor: EntityExtractor, entity_id: EntityIds
) -> list[ChunkedDocument]:
    """Adds to each chunk the entities and relations of its text, and the names that its document is about. Calls the
    extractor once for all chunks.

    Spellings that get the same id from `entity_id` are one mention, under the most frequent name.
    """
    recognized = iter(extractor.extract([chunk.text for document in chunked for chunk in document.chunks]))
    return [
        ChunkedDocument(
            document.document,
            tuple(
                _with_mentions(chunk, next(recognized), names, entity_id)
                for chunk, names in zip(document.chunks, about(document), strict=True)
            ),
        )
        for document in chunked
    ]


def _with_mentions(chunk: Chunk, recognized: Recognized, names: Sequence[str], entity_id: EntityIds) -> Chunk:
    merged: dict[UUID, Mention] = {}
    ids: dict[str, UUID] = {}
    for kind, name, count in sorted(recognized.entities, key=lambda entity: (-entity[2], entity[0], entity[1])):
        key = ids[name] = entity_id(kind, name)
        known = merged.get(key)
        merged[key] = replace(known, count=known.count + count) if known else Mention(key, kind, name, count)
    for name in names:
        key = entity_id(_ABOUT, name)
        merged[key] = replace(merged.get(key, Mention(key, _ABOUT, name, 0)), about=True)
    relations = {Relation(ids[head], kind, ids[tail]) for head, kind, tail in recognized.relations}
    between = sorted(each for each in relations if each.head_id != each.tail_id)
    return replace(chunk, mentions=tuple(merged.values()), relations=tuple(between))
