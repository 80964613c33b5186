"""Numeric features of chunks, for the gate after chunking."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sluice.model.chunk import ChunkedDocument
from sluice.model.document import Document

Place = tuple[int, int | None]  # position of the document, and of its chunk (None: the whole document)


def chunk_features(
    documents: Sequence[ChunkedDocument], size_shares: Sequence[float]
) -> tuple[dict[str, list[Any]], list[Place]]:
    """Returns columns of equal length: one row for each document, then one for each chunk. A value that does not apply
    to a row is None.

    `size_shares`: for each chunk, in order, its size divided by the chunker's limit.
    """
    rows: list[dict[str, Any]] = []
    places: list[Place] = []
    for number, each in enumerate(documents):
        rows.append({"uncovered_chars": _uncovered(each)})
        places.append((number, None))
    sizes = iter(size_shares)
    for number, each in enumerate(documents):
        text = each.document.text
        for position, chunk in enumerate(each.chunks):
            right = 0 <= chunk.start < chunk.end <= len(text) and text[chunk.start : chunk.end] == chunk.text
            rows.append(
                {
                    "chunk_id": str(chunk.chunk_id),
                    "visible_chars": len(chunk.text.strip()),
                    "wrong_offsets": int(not right),
                    "wrong_order": int(chunk.ordinal != position),
                    "size_share": next(sizes),
                }
            )
            places.append((number, position))
    return {column: [row.get(column) for row in rows] for column in _COLUMNS}, places


_COLUMNS = ("uncovered_chars", "chunk_id", "visible_chars", "wrong_offsets", "wrong_order", "size_share")


def _uncovered(chunked: ChunkedDocument) -> int:
    """Counts the non-space characters of the document that are in no chunk."""
    return sum(len("".join(gap.split())) for gap in _gaps(chunked.document, chunked))


def _gaps(document: Document, chunked: ChunkedDocument) -> list[str]:
    gaps: list[str] = []
    position = 0
    for start, end in sorted((chunk.start, chunk.end) for chunk in chunked.chunks):
        if start > position:
            gaps.append(document.text[position:start])
        position = max(position, end)
    return [*gaps, document.text[position:]]
