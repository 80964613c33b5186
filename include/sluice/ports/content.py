"""What documents are made readable, kept and worked on with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from sluice.model.chunk import Vector
from sluice.model.document import FetchedDocument


class Keyring(Protocol):
    """Document keys and tenants' index keys, unwrapped. Kept apart from all data."""

    def index_key(self, tenant: str) -> bytes:
        """32 bytes; made on first use."""

    def known_index_key(self, tenant: str) -> bytes | None:
        """The same where it was made; None where it was not: it is not made now."""

    def create(self, document_ids: Sequence[UUID]) -> dict[UUID, bytes]:
        """Existing keys are kept."""

    def get(self, document_ids: Sequence[UUID]) -> dict[UUID, bytes]:
        """A document without a key (erased) is absent."""

    def destroy(self, document_ids: Sequence[UUID]) -> int:
        """What was encrypted with these keys cannot be read any more, wherever it lies. Returns how many there were.
        Another process may know a key for a minute yet."""

    def ping(self) -> str:
        """The server's version. Raises Unavailable."""


class Embedder(Protocol):
    name: str
    at_once: int  # texts that are best handed over together; what is lost by a crash in between

    @property
    def dim(self) -> int:
        """Components of a vector. An endpoint may have to be asked. Raises Transient or Terminal."""

    def embed(self, texts: Sequence[str]) -> Vector:
        """(n, dim), float32, L2-normalised, rows in the order of `texts`. Raises Transient or Terminal."""

    def metered(self, texts: Sequence[str]) -> tuple[Vector, int]:
        """The same, and the tokens that it cost."""

    def tokens(self, texts: Sequence[str]) -> list[int]:
        """Of each text: what `metered` will count, or more where only an endpoint knows. Costs nothing."""


class EntityExtractor(Protocol):
    name: str

    def extract(self, texts: Sequence[str]) -> list[Recognized]:
        """One result a text, in order."""


@dataclass(frozen=True, slots=True)
class Recognized:
    """What one text names, and what it says of that. Names as written."""

    entities: Sequence[tuple[str, str, int]] = ()  # kind, name, count
    relations: Sequence[tuple[str, str, str]] = ()  # head, kind of relation, tail: names of two of the entities


EntityIds = Callable[[str, str], UUID]
"""(kind, name) → entity id within one tenant."""


class Blobs(Protocol):
    """Object storage below one root. Paths are relative, with `/`."""

    def write(self, path: str, content: bytes) -> str:
        """All or nothing; returns the full uri."""

    def read(self, path: str) -> bytes:
        """Raises NotFound."""

    def remove(self, prefix: str) -> None: ...

    def list(self, prefix: str) -> list[str]:
        """Paths of all objects below a folder, sorted. Raises Transient rather than leave one out."""

    def walk(self, prefix: str) -> Iterator[str]:
        """The same, folder by folder, with the names of one way down in memory; also what a write has not finished,
        whose names end in `.part`."""

    def modified_at(self, path: str) -> datetime:
        """When an object was last written, in UTC. Raises NotFound."""

    def uri(self, path: str) -> str: ...


class Extractor(Protocol):
    """Bytes to text, isolated: a hostile file costs a subprocess, not the run."""

    def extract(self, raws: Sequence[FetchedDocument]) -> list[Extracted]:
        """One result a raw, in order."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Extracted:
    """Text of one document, or why there is none."""

    text: str = ""
    mime: str = ""
    title: str | None = None
    metadata: Mapping[str, Any] | None = None
    page_starts: tuple[int, ...] = ()
    failure: tuple[str, str] | None = None  # code, reason
