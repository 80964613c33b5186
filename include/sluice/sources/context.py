"""Folders, servers and connections that source readers may use. `wiring` fills it in from the settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sluice.errors import BadRequest
from sluice.ports.content import Blobs, Keyring
from sluice.ports.readers import Connection, Connections, OpenRows, RowQuery, Rows

if TYPE_CHECKING:
    from ssl import SSLContext


def no_connections(conn_id: str) -> Connection:
    """The default of `SourceContext.connections`. Raises BadRequest."""
    raise BadRequest(f"Connection {conn_id!r} cannot be used here: no connections are configured. Nothing was read.")


def no_rows(connection: Connection, query: RowQuery) -> Rows:
    """The default of `SourceContext.rows`. Raises BadRequest."""
    raise BadRequest("Rows of a database cannot be read here. Nothing was read.")


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpPolicy:
    """Limits and behaviour of https:// sources."""

    hosts: Sequence[str] = ()  # extra hosts of documents, besides the host of the list
    trusted_hosts: Sequence[str] = ()  # `host` or `host:port`: may be private and use http://
    delay_s: float = 0.5  # between two requests to one host
    backoff_s: float = 1.0  # before the second try of a request; doubled for each further one
    pace_folder: Path | None = None  # shared by the processes that share one request rate
    resolve: Callable[[str, int], list[str]] | None = None  # (host, port) → addresses; None: the system's
    ssl_context: SSLContext | None = None  # None: the default certificates


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceContext:
    """Passed to every reader; each reader takes what it needs."""

    max_bytes: int  # of one document
    roots: Sequence[Path] = ()  # folders that file://, jsonl:// and git+file:// may read
    connections: Connections = no_connections
    connect_timeout_s: float = 5.0
    call_timeout_s: float = 30.0  # longest wait for a byte from the server
    fetch_timeout_s: float = 120.0  # of one document in total
    web: HttpPolicy = field(default_factory=HttpPolicy)
    rows: OpenRows = no_rows
    blobs: Blobs | None = None  # storage of uploads; `keyring` has the keys that encrypt them
    keyring: Keyring | None = None
    git_cache: Path | None = None  # folder of the mirrors of git+https:// repositories
    s3_default_credentials: bool = False  # s3:// without a login may use the machine's credentials
    admits: Callable[[str], bool] | None = None  # documents that the source may hold, by URI; None: all
    borrows: Callable[[str], bool] | None = None  # files that a git+file:// repository may read, by URI; None: all
    since: str | None = None  # `IncrementalReader.cursor` of the last completed scan
    dry: bool = False  # a scan writes to no store, not even data that speeds up the next scan
