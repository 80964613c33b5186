"""Keys, embedders, entity extractors, object storage and text extraction."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from sluice.model.chunk import Vector
from sluice.model.document import FetchedDocument


class Keyring(Protocol):
    """Document keys and tenants' index keys, unwrapped. Stored separately from all data."""

    def index_key(self, tenant: str) -> bytes:
        """Returns the tenant's index key, 32 bytes; creates it on first use."""

    def known_index_key(self, tenant: str) -> bytes | None:
        """Returns the tenant's index key where it exists; None otherwise. Does not create it."""

    def create(self, document_ids: Sequence[UUID]) -> dict[UUID, bytes]:
        """Creates the missing keys and returns all of them. Existing keys stay."""

    def get(self, document_ids: Sequence[UUID]) -> dict[UUID, bytes]:
        """Returns keys by document. A document without a key (erased) is absent."""

    def destroy(self, document_ids: Sequence[UUID]) -> int:
        """Destroys keys; returns how many existed. What was encrypted with them is unreadable from then on, in every
        copy. Another process may have a key in its cache for up to a minute."""

    def ping(self) -> str:
        """Returns the server's version. Raises Unavailable."""


class Embedder(Protocol):
    """Embeds texts. Its name is part of the cache key: another model or another pooling needs another name."""

    name: str
    at_once: int  # best number of texts per call; as many vectors are lost by a crash

    @property
    def dim(self) -> int:
        """The number of components of a vector. May call an endpoint. Raises Transient or Terminal."""

    def embed(self, texts: Sequence[str]) -> Vector:
        """Returns an array (n, dim), float32, L2-normalised, rows in the order of `texts`. Raises Transient or
        Terminal."""

    def metered(self, texts: Sequence[str]) -> tuple[Vector, int]:
        """Returns the same array and the number of tokens it cost."""

    def tokens(self, texts: Sequence[str]) -> list[int]:
        """Returns for each text the tokens that `metered` will count, or an upper estimate where only an endpoint knows
        the number. Costs nothing."""


class EntityExtractor(Protocol):
    """Finds entities, and relations between them, in texts. Its name is part of a generation's profile."""

    name: str

    def extract(self, texts: Sequence[str]) -> list[Recognized]:
        """Returns one result per text, in order."""


@dataclass(frozen=True, slots=True)
class Recognized:
    """The entities that one text names, and their relations. Names as written."""

    entities: Sequence[tuple[str, str, int]] = ()  # kind, name, count
    relations: Sequence[tuple[str, str, str]] = ()  # head, kind of relation, tail: names of two of the entities


EntityIds = Callable[[str, str], UUID]
"""Function (kind, name) → entity id within one tenant."""


class Blobs(Protocol):
    """Object storage below one root. Paths are relative, with `/`."""

    def write(self, path: str, content: bytes) -> str:
        """Writes an object completely or not at all; returns the full uri. Replaces an existing object. Raises
        Transient, and has then written nothing."""

    def read(self, path: str) -> bytes:
        """Returns the bytes of an object. Raises NotFound, and Transient where the storage fails."""

    def remove(self, prefix: str) -> None:
        """Deletes an object, or a folder with all its objects. Deleting a missing one is a no-op. Raises Transient
        where an object may remain."""

    def list(self, prefix: str) -> list[str]:
        """Returns the paths of all objects below a folder, sorted. Raises Transient where the list would be
        incomplete."""

    def walk(self, prefix: str) -> Iterator[str]:
        """Yields the same paths folder by folder, with only the names along one path in memory. Includes unfinished
        writes, whose names end in `.part`."""

    def modified_at(self, path: str) -> datetime:
        """Returns when an object was last written, in UTC. Raises NotFound."""

    def uri(self, path: str) -> str:
        """Returns the full uri of a path, whether or not the object exists."""


class Extractor(Protocol):
    """Extracts text in a subprocess, so that a malicious file can stop only the subprocess, not the run."""

    def extract(self, documents: Sequence[FetchedDocument]) -> list[Extracted]:
        """Returns one result per document, in order."""

    def close(self) -> None:
        """Ends the subprocesses."""


@dataclass(frozen=True, slots=True)
class Extracted:
    """The text of one document, or the reason why it has none."""

    text: str = ""
    mime: str = ""
    title: str | None = None
    metadata: Mapping[str, Any] | None = None
    page_starts: tuple[int, ...] = ()
    failure: tuple[str, str] | None = None  # code, reason
