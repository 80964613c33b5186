"""postgresql://<connection id>?table=schema.name or ?query=<name>: one document per row.

Reads the columns `id`, `text`, `title` and `updated_at`, or those that the URI names instead; all other columns become
metadata. A saved query is an entry `query.<name>` in the connection's extra, so only users who may edit connections
decide what is selected. A row without a usable id is listed as `#row-<number>`, a repeated id as `<id>#row-<number>`;
both are quarantined when read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from sluice.errors import BadRequest
from sluice.model.document import FetchedDocument
from sluice.model.names import is_external_id
from sluice.model.reasons import unreadable
from sluice.model.records import RECORD_MIME, parse_record
from sluice.model.scan import ListingEntry, WorkItem
from sluice.model.source import SourceSpec
from sluice.ports.readers import RowQuery
from sluice.sources.context import SourceContext
from sluice.sources.globs import Globs
from sluice.sources.schemes import Scheme, place_below

_COLUMNS = ("id", "text", "title", "updated_at")
_NAME = re.compile(r"[^\W\d]\w{0,62}")  # PostgreSQL's names have at most 63 bytes; the adapter quotes them
_NO_ID, _DUPLICATE = "no-id ", "duplicate "


class RowReader:
    """SourceReader of one table or saved query. The constructor raises BadRequest for an invalid URI."""

    def __init__(self, spec: SourceSpec, context: SourceContext) -> None:
        conn_id, values = _parsed(spec.uri)
        connection = context.connections(conn_id)
        self._query = _query(values, connection.extra)
        self._rows = context.rows(connection, self._query)
        self._uri = _uri(conn_id, values)
        self._globs = Globs(spec.include, spec.exclude)
        self._max_bytes = context.max_bytes

    def scan(self) -> Iterator[ListingEntry]:
        """Runs one statement, so all rows are of one moment. Raises Unavailable or BadRequest."""
        previous: str | None = None
        for number, row in enumerate(self._rows.listed(), start=1):
            name, fingerprint = row.id or "", row.mark
            if not is_external_id(name):
                name, fingerprint = f"#row-{number}", _NO_ID + fingerprint
            elif name == previous:  # rows are listed in the order of their ids
                name, fingerprint = f"{name}#row-{number}", _DUPLICATE + fingerprint
            else:
                previous = name
            if self._globs.admit(name):
                yield ListingEntry(name, f"{self._uri}#{quote(name)}", fingerprint, row.size_bytes)

    def read(self, item: WorkItem) -> FetchedDocument:
        """Returns the current row. Raises ExtractionError (bad_row, duplicate_row, vanished, too_large) and
        Unavailable."""
        entry = item.entry
        if entry.fingerprint.startswith(_NO_ID):
            raise unreadable("bad_row")
        if entry.fingerprint.startswith(_DUPLICATE):
            raise unreadable("duplicate_row")
        row = self._rows.fetch(entry.external_id, self._max_bytes)
        if row is None:
            raise unreadable("vanished")
        values = row[1]
        if values is None:
            raise unreadable("too_large")
        try:
            body = self._line(entry.external_id, values)
            record = parse_record(body)
        except ValueError as error:
            raise unreadable("bad_row") from error
        return FetchedDocument(item, body, RECORD_MIME, record.title, record.metadata)

    def _line(self, name: str, values: Mapping[str, Any]) -> bytes:
        used = {self._query.id, self._query.text, self._query.title, "_id", "text", "title"}
        line = {key: value for key, value in values.items() if key not in used}
        line |= {"_id": name, "title": values.get(self._query.title), "text": values.get(self._query.text)}
        return json.dumps(line, ensure_ascii=False, sort_keys=True).encode("utf-8")


def canonical_rows(uri: str) -> str:
    """Returns one spelling for each source. An invalid URI stays as it is, and the reader rejects it."""
    try:
        return _uri(*_parsed(uri))
    except BadRequest:
        return uri


def _place(conn_id: str, path: bytes) -> tuple[str, bytes]:
    """Normalises the connection id as variable names do: `my-crm`, `My_CRM` and `my.crm` are the same."""
    name = "".join(char if char.isalnum() else "_" for char in conn_id.lower())
    return place_below("postgresql", name, path)


SCHEME = Scheme(
    reader="rows:RowReader",
    example="postgresql://<connection id>?table=…",
    canonical=canonical_rows,
    place=_place,
)


def _parsed(uri: str) -> tuple[str, dict[str, str]]:
    parts = urlsplit(uri.strip())
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    values = dict(pairs)
    if not parts.netloc or parts.path.strip("/") or parts.fragment or len(values) != len(pairs):
        raise BadRequest("A postgresql:// URI is postgresql://<connection id>?table=schema.name. Nothing was read.")
    unknown = sorted(values.keys() - {"table", "query", *_COLUMNS})
    if unknown or ("table" in values) == ("query" in values):
        raise BadRequest(
            "A postgresql:// URI names table= or query=, and may name the columns id=, text=, title=, updated_at=. "
            f"{'Unknown: ' + ', '.join(unknown)[:200] + '. ' if unknown else ''}Nothing was read."
        )
    return parts.netloc, values


def _query(values: Mapping[str, str], extra: Mapping[str, Any]) -> RowQuery:
    names = {name: values.get(name) or name for name in _COLUMNS}
    table = tuple(values["table"].split(".")) if "table" in values else ()
    for name in (*names.values(), *table):
        if not _NAME.fullmatch(name):
            raise BadRequest(f"{name[:80]!r} is not the name of a table or column. Nothing was read.")
    if len(table) > 2:
        raise BadRequest("table= is a table, or schema.table. Nothing was read.")
    select = None
    if "query" in values:
        select = extra.get(f"query.{values['query']}")
        if not isinstance(select, str) or not select.strip():
            raise BadRequest(
                f"The connection has no saved query {values['query'][:80]!r}. Add `query.<name>` with the SELECT to "
                "its extra. Nothing was read."
            )
    return RowQuery(table=table, select=select, **names)


def _uri(conn_id: str, values: Mapping[str, str]) -> str:
    pairs = [
        f"{name}={quote(values[name], safe='')}"
        for name in sorted(values)
        if values[name] and not (name in _COLUMNS and values[name] == name)
    ]
    return f"postgresql://{conn_id}?{'&'.join(pairs)}"
