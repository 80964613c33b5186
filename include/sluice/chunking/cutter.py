"""Applies one chunker profile to a batch of documents."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING
from uuid import uuid5

from sluice import encryption
from sluice.chunking.context import ContextSizes, fitting, lines
from sluice.chunking.headings import Heading, Outline, headings_of
from sluice.chunking.measure import CHARS_PER_TOKEN_LIMIT, Characters, Measure, Tokens, Wordpieces, tokenize
from sluice.chunking.split import Piece, split
from sluice.errors import BadRequest
from sluice.model.chunk import Chunk, ChunkedDocument
from sluice.model.document import Document

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_PROFILE = re.compile(r"(tokens|chars):(\d{1,6}):(\d{1,6})")
_SMALLEST = {"tokens": 32, "chars": 100}
_MAJOR_LEVEL = 2


@dataclass(frozen=True, slots=True)
class Chunker:
    """A parsed chunker profile. Sizes are in `unit`."""

    name: str
    unit: str  # tokens or chars
    max_size: int
    overlap: int


def parse_profile(profile: str) -> Chunker:
    """Parses a chunker profile. Raises BadRequest on an unknown one."""
    match = _PROFILE.fullmatch(profile)
    if match:
        unit, max_size, overlap = match[1], int(match[2]), int(match[3])
        if max_size >= _SMALLEST[unit] and overlap <= max_size // 2:
            return Chunker(profile, unit, max_size, overlap)
    raise BadRequest(
        f"Chunker {profile!r} is unknown. Use tokens:<max>:<overlap> (max ≥ 32) or chars:<max>:<overlap> (max ≥ 100), "
        "overlap at most half of max; e.g. tokens:256:0."
    )


class Cutter:
    def __init__(self, chunker: Chunker, index_key: bytes, tokenizer: Tokenizer | None) -> None:
        if chunker.unit == "tokens" and tokenizer is None:
            raise BadRequest(f"Chunker {chunker.name!r} counts tokens, and no tokenizer was given.")
        self._chunker = chunker
        self._index_key = index_key
        self._tokenizer = tokenizer if chunker.unit == "tokens" else None
        special = self._tokenizer.num_special_tokens_to_add(False) if self._tokenizer else 0
        self._max = chunker.max_size - special
        self._sizes = ContextSizes(self._max, self._tokenizer)

    def cut(self, documents: Sequence[Document]) -> list[ChunkedDocument]:
        """Returns one result per document, in order, with chunks by position. A document without text has no chunks. A
        chunk of the same document, text and context has the same id in every run."""
        tokens: Sequence[Tokens | None] = [None] * len(documents)
        if self._tokenizer is not None:
            tokens = tokenize([document.text for document in documents], self._tokenizer)
        return [
            ChunkedDocument(document, tuple(self._chunks(document, own)))
            for document, own in zip(documents, tokens, strict=True)
        ]

    def _chunks(self, document: Document, tokens: Tokens | None) -> Iterator[Chunk]:
        text = document.text
        marks = headings_of(document)
        seen: Counter[bytes] = Counter()
        ordinal = 0
        for cut in self._pieces(document, tokens, marks):
            start, end = _trim(text, cut.begin, cut.end)
            if start >= end:
                continue
            headings = _path(text, cut.start, end, marks)
            context = "\n".join(line for line, _ in self._context(document, headings, start, end, marks))
            piece = text[start:end]
            text_hash = encryption.text_hash(self._index_key, f"{context}\n\n{piece}" if context else piece)
            name = f"{self._chunker.name}|{text_hash.hex()}|{seen[text_hash]}"
            seen[text_hash] += 1
            yield Chunk(
                chunk_id=uuid5(document.document_id, name),
                document_id=document.document_id,
                ordinal=ordinal,
                text=piece,
                context=context,
                start=start,
                end=end,
                page=max(1, bisect_right(document.page_starts, start)) if document.page_starts else None,
                headings=headings,
                text_hash=text_hash,
            )
            ordinal += 1

    def _pieces(self, document: Document, tokens: Tokens | None, marks: Outline) -> Iterator[Piece]:
        text = document.text
        most_chars = self._max * (CHARS_PER_TOKEN_LIMIT if tokens else 1)
        first, last = _trim(text, 0, len(text))
        size = tokens.count if tokens else last - first
        if size <= self._max and last - first <= most_chars:
            context = self._context(document, _path(text, first, last, marks), first, last, marks)
            if size + self._room_for(context) <= self._max:
                yield Piece(first, first, last)
                return
        measure: Measure = Wordpieces(text, tokens.slices, self._max // 2) if tokens else Characters()
        for start, end in _blocks(text, marks):
            begin, end = _trim(text, start, end)
            if begin >= end:
                continue
            room = self._max - self._reserve(document.title, marks.within(start, end))
            yield from split(text, begin, end, measure, room, self._chunker.overlap, marks)

    def _context(
        self, document: Document, headings: Sequence[str], start: int, end: int, marks: Outline
    ) -> list[tuple[str, int]]:
        inside = {heading.path[-1].casefold() for heading in marks.within(start, end)}
        names = [
            name
            for name in lines(document.title, headings)
            if name.casefold() not in inside and not _begins_with(document.text, start, name)
        ]
        return fitting(names, self._sizes)

    def _reserve(self, title: str, headings: Sequence[Heading]) -> int:
        """Returns the largest size that a context can have below these headings."""
        paths = {heading.path for heading in headings} | {()}
        sizes = [self._room_for([self._sizes.line(name) for name in lines(title, path)]) for path in paths]
        return min(max(sizes), self._sizes.limit)

    def _room_for(self, context: Sequence[tuple[str, int]]) -> int:
        """Returns the size left for the text. A limit in wordpieces includes the context; one in characters does
        not."""
        return sum(size for _, size in context) if self._tokenizer else 0


def _blocks(text: str, marks: Outline) -> Iterator[tuple[int, int]]:
    """Yields sections that begin at a heading of level 1 or 2; a heading without text joins the next section."""
    start = position = 0
    has_text = False
    for heading in marks.headings:
        has_text = has_text or not _blank(text, position, heading.start)
        if has_text and heading.level <= _MAJOR_LEVEL:
            yield start, heading.start
            start, has_text = heading.start, False
        position = heading.end
    yield start, len(text)


def _path(text: str, start: int, end: int, marks: Outline) -> tuple[str, ...]:
    """Returns the headings above all text in text[start:end]."""
    index = bisect_right(marks.headings, start, key=lambda heading: heading.start)
    under: list[tuple[str, ...]] = []
    path = marks.headings[index - 1].path if index else ()
    position = max(start, marks.headings[index - 1].end) if index else start
    for heading in marks.headings[index:]:
        if heading.start >= end:
            break
        if not _blank(text, position, heading.start):
            under.append(path)
        path, position = heading.path, heading.end
    if not under or not _blank(text, position, end):
        under.append(path)
    return tuple(names[0] for names in takewhile(lambda names: len(set(names)) == 1, zip(*under, strict=False)))


def _blank(text: str, start: int, end: int) -> bool:
    return not text[start:end].strip()


def _trim(text: str, start: int, end: int) -> tuple[int, int]:
    piece = text[start:end]
    left = len(piece) - len(piece.lstrip())
    return start + left, start + max(left, len(piece.rstrip()))


def _begins_with(text: str, start: int, name: str) -> bool:
    head = " ".join(text[start : start + 2 * len(name) + 20].lstrip("# \t").split())
    return head[: len(name)].casefold() == name.casefold()
