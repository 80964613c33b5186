"""Source readers and their connections."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from sluice.model.document import FetchedDocument
from sluice.model.scan import ListingEntry, WorkItem
from sluice.model.source import SourceSpec


@dataclass(frozen=True, slots=True)
class Connection:
    """A source's server and login. Stored separately from the source's URI, which is shown to users."""

    host: str = ""
    port: int | None = None
    login: str = ""
    password: str = field(default="", repr=False)
    schema: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)  # defined by the kind of source
    # Opens the connection with further arguments; set where the provider of the connection can do so: Airflow's hook.
    dial: Callable[..., Any] | None = field(default=None, repr=False, compare=False)


Connections = Callable[[str], Connection]
"""Function: connection id → connection. Raises BadRequest where it does not exist or this source may not use it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowQuery:
    """The table or query whose rows are documents, and the names of its columns."""

    table: tuple[str, ...] = ()  # name, or schema and name
    select: str | None = None  # instead of a table
    id: str
    text: str
    title: str
    updated_at: str


@dataclass(frozen=True, slots=True)
class ListedRow:
    """A row as a scan sees it, without its text."""

    id: str | None
    mark: str  # the row's state; equal: the row is unchanged
    size_bytes: int  # of the stored text


class Rows(Protocol):
    """Read-only access to a source's rows."""

    def listed(self) -> Iterator[ListedRow]:
        """Yields all rows of one snapshot, by id, then mark; rows without an id last. Memory is bounded."""

    def fetch(self, row_id: str, max_bytes: int) -> tuple[int, dict[str, Any] | None] | None:
        """Returns (size of the text in bytes, columns as JSON values); the columns are None where the text is larger
        than `max_bytes`. Of several rows with the id, the first by mark; None where there is none."""


OpenRows = Callable[[Connection, RowQuery], Rows]
"""Function that returns the rows of a query. It connects on first use."""


class SourceReader(Protocol):
    """The reader of one kind of source (file, jsonl, …)."""

    def scan(self) -> Iterator[ListingEntry]:
        """Lists all documents, without reading contents where possible. Raises errors of the listing, because an
        incomplete scan must never look like a complete one. Single unreadable entries are still listed."""

    def read(self, item: WorkItem) -> FetchedDocument:
        """Reads one document. Raises ExtractionError (only this document fails) or Transient."""


@runtime_checkable
class IncrementalReader(SourceReader, Protocol):
    """The reader of a source with a history. Its scan reports renames (`ListingEntry.previous_name`)."""

    def cursor(self) -> str | None:
        """Returns the cursor of the state that `scan` lists, e.g. a commit. It is stored when the run is complete, and
        passed to the reader of the next run."""


class OpenSource(Protocol):
    """Function that returns the reader of a source. `since`: the cursor of its last run. `dry`: the scan writes
    nothing to a store. Raises BadRequest."""

    def __call__(self, spec: SourceSpec, since: str | None = None, *, dry: bool = False) -> SourceReader: ...
