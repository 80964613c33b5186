"""Adds the text around passages: neighbouring chunks of the same version, for the context of a language model."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from sluice.encryption import Cipher, ciphers
from sluice.model.passage import Passage, PassageContext
from sluice.model.search import Neighbour
from sluice.model.text import encodable
from sluice.retrieval.passages import Passages

log = logging.getLogger(__name__)

MAX_CONTEXT = 5  # chunks on each side
MAX_SIDE_CHARS = 10_000  # on each side of a passage


@dataclass(frozen=True, slots=True)
class _Piece:
    start: int
    end: int
    text: str  # == the document's text[start:end]


def with_context(reader: Passages, passages: Sequence[Passage], count: int) -> tuple[list[Passage], bool]:
    """Returns the passages with the text of up to `count` chunks on each side, and whether all have it.

    A text appears once in the result: the chunks of other passages are not repeated, and a chunk between two passages
    belongs to the better one. All chunks come from one state of the ledger. A passage whose version has been replaced
    since it was read keeps `context` None. Raises Unavailable.
    """
    rows = reader.catalog.neighbours(reader.generation, [each.chunk_id for each in passages], count, reader.principal)
    keys = reader.keyring.get(list(dict.fromkeys(row.document_id for row in rows)))
    own = ciphers(reader.principal.tenant, keys)
    near: dict[UUID, dict[int, Neighbour]] = {}
    for row in rows:
        near.setdefault(row.passage_id, {})[row.distance] = row
    used = {each.chunk_id for each in passages}
    result: list[Passage] = []
    for passage in passages:
        around = near.get(passage.chunk_id, {})
        if any(row.version != passage.version for row in around.values()):
            result.append(passage)
            continue
        cipher = own.get(passage.document_id)
        before = _side(passage, (around.get(-step) for step in range(1, count + 1)), used, cipher)
        after = _side(passage, (around.get(step) for step in range(1, count + 1)), used, cipher)
        result.append(replace(passage, context=_context(passage, before, after)))
    return result, all(each.context is not None for each in result)


def _side(passage: Passage, rows: Iterable[Neighbour | None], used: set[UUID], cipher: Cipher | None) -> list[_Piece]:
    """Returns the chunks of one side, nearest first, up to a gap, a chunk that is used already, or the limit."""
    pieces: list[_Piece] = []
    room = MAX_SIDE_CHARS
    for row in rows:
        if row is None or row.chunk_id in used or cipher is None or room <= 0:
            break
        piece = _opened(row, cipher)
        if piece is None:
            break
        used.add(row.chunk_id)
        piece = _cut(piece, passage, room)
        room -= len(piece.text)
        pieces.append(piece)
    return pieces


def _opened(row: Neighbour, cipher: Cipher) -> _Piece | None:
    try:
        text = cipher.decrypt_text("chunk", row.sealed_text, row.chunk_id)
    except Exception:
        log.exception(
            "Chunk %s of document %s cannot be decrypted; left out of a context", row.chunk_id, row.document_id
        )
        return None
    return _Piece(row.start, row.end, encodable(text, "\ufffd"))


def _cut(piece: _Piece, passage: Passage, room: int) -> _Piece:
    """Returns the part of a chunk that is outside of the passage, at most `room` characters of its nearer end."""
    if piece.start < passage.start:
        end = min(piece.end, passage.start)
        start = max(piece.start, end - room)
    else:
        start = max(piece.start, passage.end)
        end = min(piece.end, start + room)
    return _Piece(start, end, piece.text[start - piece.start : max(start, end) - piece.start])


def _context(passage: Passage, before: Sequence[_Piece], after: Sequence[_Piece]) -> PassageContext:
    ordered = [*reversed(before), _Piece(passage.start, passage.end, ""), *after]
    return PassageContext(
        before=_joined([*reversed(before)]),
        after=_joined(after),
        start=min(each.start for each in ordered),
        end=max(each.end for each in ordered),
    )


def _joined(pieces: Sequence[_Piece]) -> str:
    """Joins chunks in the order of the text: an overlap appears once. Between chunks the cutter left out white space
    only."""
    text, end = "", None
    for piece in pieces:
        if end is None or piece.start <= end:
            text += piece.text[max(0, (piece.start if end is None else end) - piece.start) :]
        else:
            text += ("\n" if piece.start == end + 1 else "\n\n") + piece.text
        end = piece.end if end is None else max(end, piece.end)
    return text
