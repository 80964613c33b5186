"""Where documents come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from sluice.model.document import FetchedDocument
from sluice.model.scan import ListingEntry, WorkItem
from sluice.model.source import SourceSpec


@dataclass(frozen=True, slots=True)
class Connection:
    """A source's server and the login there. Kept apart from the source's URI, which is stored and shown."""

    host: str = ""
    port: int | None = None
    login: str = ""
    password: str = field(default="", repr=False)
    schema: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)  # what the kind of source defines
    # Connects with these further arguments, where whoever gave the connection knows more than it says: Airflow's hook.
    dial: Callable[..., Any] | None = field(default=None, repr=False, compare=False)


Connections = Callable[[str], Connection]
"""A connection by its id. Raises BadRequest where there is none, or where this source may not use it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowQuery:
    """Rows of a database that are documents, and the columns that have a meaning."""

    table: tuple[str, ...] = ()  # name, or schema and name
    select: str | None = None  # instead of a table
    id: str
    text: str
    title: str
    updated_at: str


@dataclass(frozen=True, slots=True)
class ListedRow:
    id: str | None
    mark: str  # equal marks mean: unchanged
    size_bytes: int  # of the text as it is stored


class Rows(Protocol):
    """A source's rows, only ever read."""

    def listed(self) -> Iterator[ListedRow]:
        """All rows at one moment, by id, then mark; rows without an id last. Memory is bounded."""

    def fetch(self, row_id: str, max_bytes: int) -> tuple[int, dict[str, Any] | None] | None:
        """(bytes of its text, its columns as JSON values; None where the text is larger than `max_bytes`). The first
        by mark of those with the id; None where there is none."""


OpenRows = Callable[[Connection, RowQuery], Rows]
"""Connects on first use."""


class SourceReader(Protocol):
    """One kind of source (file, jsonl, …)."""

    def scan(self) -> Iterator[ListingEntry]:
        """List all, without reading contents where that can be avoided. An error while listing is raised:
        an incomplete scan must never look like a complete one. Unreadable single entries are still listed."""

    def read(self, item: WorkItem) -> FetchedDocument:
        """Raises Unreadable (this document alone) or Transient."""


@runtime_checkable
class IncrementalReader(SourceReader, Protocol):
    """A source with a history: it says what changed since an earlier scan (`ListingEntry.former`)."""

    def mark(self) -> str | None:
        """What names the state that `scan` lists, e.g. a commit; kept when the run is complete, and given to the
        reader of the next one."""


class OpenSource(Protocol):
    """The reader of a source; `since`: the mark of its last run, where it has one. `dry`: its scan leaves nothing
    behind in a store. Raises BadRequest."""

    def __call__(self, spec: SourceSpec, since: str | None = None, *, dry: bool = False) -> SourceReader: ...
