"""postgresql://: rows of a real server as documents."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from airflow.providers.postgres.hooks.postgres import PostgresHook
from sqlalchemy import make_url

from sluice.adapters.postgres.source_rows import PostgresRows
from sluice.airflow.connections import source_connection
from sluice.errors import BadRequest, ExtractionError, SluiceError, Unavailable
from sluice.model.document import FetchedDocument
from sluice.model.scan import ListingEntry, WorkItem
from sluice.model.source import SourceSpec
from sluice.ports.readers import Connection, SourceReader
from sluice.sources.schemes import canonical, reader_for
from support.engines import EngineStack
from support.scratch_databases import libpq, scratch_databases


class Place:
    """A database of its own, with a table of documents."""

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.server = psycopg.connect(libpq(url), autocommit=True)

    def run(self, statement: str, *values: object) -> None:
        self.server.execute(statement, values)

    def connection(self, extra: Mapping[str, str] = MappingProxyType({})) -> Connection:
        url = self.url
        return Connection(
            url.host or "", url.port, url.username or "", str(url.password or ""), url.database or "", extra
        )

    def reader(
        self, query: str, extra: Mapping[str, str] = MappingProxyType({}), *, max_bytes: int = 10**6
    ) -> SourceReader:
        return reader_for(
            SourceSpec(f"postgresql://docs?{query}", "c"),
            max_bytes=max_bytes,
            connections=lambda conn_id: self.connection(extra),
            rows=partial(PostgresRows, connect_timeout_s=5),
        )


@pytest.fixture(scope="module")
def place(stack: EngineStack) -> Iterator[Place]:
    with scratch_databases(stack) as scratch:
        built = Place(scratch.owner_url)
        yield built
        built.server.close()


@pytest.fixture
def table(place: Place, name: str) -> str:
    place.run(
        f'CREATE TABLE "{name}" (id bigint, text text, title text, updated_at timestamptz DEFAULT now(), tags text[], '
        "price numeric)"
    )
    return name


def item(entry: ListingEntry) -> WorkItem:
    return WorkItem(uuid4(), entry, new=True)


def entries(reader: SourceReader) -> dict[str, ListingEntry]:
    return {entry.external_id: entry for entry in reader.scan()}


def taken(reader: SourceReader, external_id: str) -> FetchedDocument:
    return reader.read(item(entries(reader)[external_id]))


def refusal(reader: SourceReader, external_id: str) -> str:
    with pytest.raises(ExtractionError) as caught:
        taken(reader, external_id)
    return caught.value.code


def test_rows_are_documents_and_other_columns_metadata(place: Place, table: str) -> None:
    place.run(
        f"INSERT INTO {table} VALUES (1, 'one', 'First', '2024-01-02T00:00:00Z', '{{a,b}}', 1.5), "
        "(2, 'two', NULL, NULL, NULL, NULL)"
    )
    reader = place.reader(f"table={table}")
    result = entries(reader)
    assert list(result) == ["1", "2"]
    assert result["1"].uri == f"postgresql://docs?table={table}#1"
    raw = reader.read(item(result["1"]))
    assert (raw.title, raw.metadata["tags"], raw.metadata["price"]) == ("First", ["a", "b"], 1.5)
    assert raw.metadata["updated_at"].startswith("2024-01-02T00:00:00") and b'"text": "one"' in raw.content
    assert taken(reader, "2").title is None


def test_a_row_that_changed_has_another_fingerprint(place: Place, table: str) -> None:
    place.run(f"INSERT INTO {table} (id, text) VALUES (1, 'one'), (2, 'two')")
    place.run(f"UPDATE {table} SET updated_at = NULL WHERE id = 2")
    reader = place.reader(f"table={table}")
    before = entries(reader)
    assert before.keys() == entries(place.reader(f"table=public.{table}&id=id")).keys() == {"1", "2"}
    assert entries(reader) == before
    place.run(f"UPDATE {table} SET updated_at = updated_at + interval '1 microsecond' WHERE id = 1")
    place.run(f"UPDATE {table} SET text = 'changed' WHERE id = 2")
    after = entries(reader)
    assert all(before[name].fingerprint != after[name].fingerprint for name in ("1", "2"))
    place.run(f"DELETE FROM {table} WHERE id = 1")
    assert list(entries(reader)) == ["2"]
    with pytest.raises(ExtractionError, match="vanished"):
        reader.read(item(after["1"]))


def test_a_listing_with_times_does_not_read_the_text(place: Place, table: str) -> None:
    place.run(f"INSERT INTO {table} (id, text) VALUES (1, 'one')")
    before = entries(place.reader(f"table={table}"))
    place.run(f"UPDATE {table} SET text = 'other'")  # without a new time: as its owner says, unchanged
    assert {name: entry.fingerprint for name, entry in entries(place.reader(f"table={table}")).items()} == {
        name: entry.fingerprint for name, entry in before.items()
    }


def test_rows_that_cannot_be_documents_are_listed_and_refused(place: Place, table: str) -> None:
    place.run(
        f"INSERT INTO {table} (id, text, title) VALUES (NULL, 'x', 'a'), (7, 'b', 'b'), (7, 'c', 'c'), (8, NULL, 'd')"
    )
    place.run(f"INSERT INTO {table} (id, text) VALUES (9, repeat('x', 2000))")
    reader = place.reader(f"table={table}", max_bytes=1000)
    assert sorted(entries(reader)) == ["#row-5", "7", "7#row-2", "8", "9"]
    result = {name: refusal(reader, name) for name in ("#row-5", "7#row-2", "8", "9")}
    assert result == {"#row-5": "bad_row", "7#row-2": "duplicate_row", "8": "bad_row", "9": "too_large"}
    assert taken(reader, "7").title in ("b", "c")


def test_columns_by_name_saved_queries_and_text_ids(place: Place, name: str) -> None:
    place.run(f'CREATE TABLE "{name}" ("Key" text, body text, "text" text)')
    place.run(f"INSERT INTO \"{name}\" VALUES ('a b/c?', 'the text', 'not the text'), ('ü', 'other', NULL)")
    raw = taken(place.reader(f"table={name}&id=Key&text=body"), "a b/c?")
    assert b"the text" in raw.content and b"not the text" not in raw.content
    saved = {
        "query.short": f'SELECT "Key" AS id, body AS text FROM "{name}" WHERE "Key" = $$ü$$ AND body LIKE $$%th%$$;'
    }
    assert list(entries(place.reader("query=short", saved))) == ["ü"]
    assert taken(place.reader("query=short", saved), "ü").mime


def test_nothing_can_be_written(place: Place, table: str) -> None:
    place.run(
        f"CREATE FUNCTION add_{table}() RETURNS text LANGUAGE sql AS "
        f"'INSERT INTO {table}(id) VALUES (1) RETURNING text'"
    )
    reader = place.reader("query=bad", {"query.bad": f"SELECT '1' AS id, add_{table}() AS text"})
    with pytest.raises(BadRequest, match="read-only"):
        list(reader.scan())
    escaping = place.reader("query=bad", {"query.bad": f"SELECT 1) AS r; DROP TABLE {table}; SELECT (1"})
    with pytest.raises(SluiceError):
        list(escaping.scan())
    place.run(f"INSERT INTO {table} (id) VALUES (1)")  # it is still there


def test_what_is_not_there_is_told_and_deletes_nothing(place: Place, table: str) -> None:
    for query in (f"table={table}_not", f"table={table}&text=nothing"):
        with pytest.raises(BadRequest, match=r"Nothing was (deleted|read)"):
            list(place.reader(query).scan())
    unreachable = reader_for(
        SourceSpec(f"postgresql://docs?table={table}", "c"),
        max_bytes=10,
        connections=lambda conn_id: Connection("127.0.0.1", 1, "x", "x", "x"),
        rows=partial(PostgresRows, connect_timeout_s=2),
    )
    with pytest.raises(Unavailable):
        list(unreachable.scan())


@pytest.mark.parametrize(
    "query", ["", "table=a.b.c", 'table=a"b', "table=a&query=b", "table=a&where=1", "query=absent", "table=a&id=x y"]
)
def test_what_a_uri_may_not_say(query: str) -> None:
    with pytest.raises(BadRequest):
        reader_for(SourceSpec(f"postgresql://docs?{query}", "c"), max_bytes=1, connections=lambda conn_id: Connection())


def test_one_spelling_a_source() -> None:
    assert canonical("PostgreSQL://docs/?title=title&table=a.b&id=key") == "postgresql://docs?id=key&table=a.b"
    assert canonical("postgresql://docs?nothing=1") == "postgresql://docs?nothing=1"


def test_under_airflow_the_providers_hook_connects(place: Place, table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place.run(f"INSERT INTO {table} (id, text) VALUES (1, 'one')")
    url = place.url
    whole = {
        "conn_type": "postgres",
        "host": url.host,
        "port": url.port,
        "login": url.username,
        "password": str(url.password or ""),
        "schema": url.database,
        "extra": {
            "tenants": "default",
            "query.named": f"SELECT id, current_setting('application_name') AS text FROM {table}",
            "query.bad": f"SELECT id, setval('s_{table}', 1)::text AS text FROM {table}",
            "cursor": "dictcursor",
            "sslmode": "prefer",
            "application_name": "theirs",
            "options": "-c default_transaction_read_only=off",
        },
    }
    place.run(f"CREATE SEQUENCE s_{table}")
    monkeypatch.setenv("AIRFLOW_CONN_DOCS", json.dumps(whole))
    hooks = []
    known = PostgresHook.get_conn

    def get_conn(hook: PostgresHook) -> Any:
        hooks.append(hook)
        return known(hook)

    monkeypatch.setattr(PostgresHook, "get_conn", get_conn)

    def reader(query: str) -> SourceReader:
        return reader_for(
            SourceSpec(f"postgresql://docs?{query}", "c"),
            max_bytes=1000,
            connections=source_connection,
            rows=partial(PostgresRows, connect_timeout_s=5),
        )

    assert b"sluice source" in taken(reader("query=named"), "1").content
    assert len(hooks) == 1
    with pytest.raises(BadRequest, match="read-only"):
        taken(reader("query=bad"), "1")


def test_a_server_that_cuts_connections_is_asked_again(place: Place, table: str) -> None:
    place.run(f"INSERT INTO {table} (id, text) VALUES (1, 'one')")
    reader = place.reader(f"table={table}")
    (entry,) = entries(reader).values()
    place.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sluice source'")
    assert b"one" in reader.read(item(entry)).content


def test_a_server_that_hangs_is_found_out(place: Place, table: str) -> None:
    """Behind a door that takes connections and says nothing any more, as the kernel of a stopped server does."""
    place.run(f"INSERT INTO {table} (id, text) VALUES (1, 'one')")
    with Door(place.connection()) as door:
        reader = reader_for(
            SourceSpec(f"postgresql://docs?table={table}", "c"),
            max_bytes=100,
            connections=lambda conn_id: door.connection,
            rows=partial(PostgresRows, connect_timeout_s=2, silence_s=0.3),
        )
        (entry,) = entries(reader).values()
        door.silent.set()
        with pytest.raises(Unavailable, match="source's database"):
            reader.read(item(entry))


class Door:
    """Forwards connections to a server, until it is told to be silent."""

    def __init__(self, behind: Connection) -> None:
        self.silent = threading.Event()
        self._behind = behind
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = [self._listening]
        self.connection = replace(behind, host="127.0.0.1", port=self._listening.getsockname()[1])

    def __enter__(self) -> Door:
        threading.Thread(target=self._take, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._open:
            each.close()

    def _take(self) -> None:
        with suppress(OSError):  # closed
            while True:
                inside = self._listening.accept()[0]
                outside = socket.create_connection((self._behind.host, self._behind.port))
                self._open += [inside, outside]
                for one, other in ((inside, outside), (outside, inside)):
                    threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while said := one.recv(1 << 16):
                if not self.silent.is_set():
                    other.sendall(said)


def test_a_scan_takes_rows_in_parts(place: Place, table: str) -> None:
    place.run(f"INSERT INTO {table} (id, text) SELECT n, 'text' FROM generate_series(1, 5001) AS n")
    assert len(entries(place.reader(f"table={table}"))) == 5001
