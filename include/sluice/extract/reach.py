"""What readers may reach: folders, servers, connections. From the settings; wiring fills it in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sluice.errors import BadRequest
from sluice.ports import Blobs, Connection, Connections, Keyring, OpenRows, RowQuery, Rows


def no_connections(conn_id: str) -> Connection:
    raise BadRequest(f"Connection {conn_id!r} cannot be used here: no connections are given. Nothing was read.")


def no_rows(connection: Connection, query: RowQuery) -> Rows:
    raise BadRequest("Rows of a database cannot be read here. Nothing was read.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Handed to every reader; each takes what it needs."""

    max_bytes: int  # of one document
    roots: Sequence[Path] = ()  # folders that file://, jsonl:// and git+file:// may read
    connections: Connections = no_connections
    rows: OpenRows = no_rows
    blobs: Blobs | None = None  # where uploads are, and the keys that seal them
    keyring: Keyring | None = None
    git_cache: Path | None = None  # folder of the copies of git+https:// repositories
    since: str | None = None  # `MarkedReader.mark` of the last completed scan
