"""Builds the readers of sources with what the rules allow them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from sluice.access.borrowing import borrowable
from sluice.access.connections import allowed_connections
from sluice.access.source_rules import parse_rules
from sluice.errors import BadRequest
from sluice.model.source import SavedSource, SourceSpec
from sluice.ports.content import Blobs, Keyring
from sluice.ports.readers import Connection, Connections, SourceReader
from sluice.settings import Settings, connection_uri


def make_reader(
    settings: Settings,
    connections: Connections,
    blobs: Blobs,
    keyring: Keyring,
    saved_sources: Callable[[str], Sequence[SavedSource]],
    spec: SourceSpec,
    since: str | None = None,
    *,
    dry: bool = False,
) -> SourceReader:
    """Returns the reader of a source; see `sluice.ports.readers.OpenSource`. Raises BadRequest; Forbidden where the
    rules do not allow the source."""
    from sluice.adapters.postgres.source_rows import PostgresRows
    from sluice.sources.context import HttpPolicy, SourceContext
    from sluice.sources.restricted import Restricted
    from sluice.sources.schemes import reader_for

    rules = parse_rules(settings.source_rules)
    rules.check(spec)
    context = SourceContext(
        max_bytes=settings.max_document_bytes,
        roots=rules.roots(spec, settings.roots),
        connections=allowed_connections(connections, spec),
        s3_default_credentials=settings.s3_default_credentials,
        admits=rules.admitting(spec),
        connect_timeout_s=settings.connect_timeout_s,
        call_timeout_s=settings.call_timeout_s,
        fetch_timeout_s=settings.fetch_timeout_s,
        web=HttpPolicy(
            hosts=settings.names(settings.http_hosts),
            trusted_hosts=settings.names(settings.http_trusted_hosts),
            delay_s=settings.http_delay_s,
            pace_folder=settings.home.absolute() / "pace",
        ),
        rows=partial(PostgresRows, connect_timeout_s=settings.connect_timeout_s, silence_s=settings.call_timeout_s),
        blobs=blobs,
        keyring=keyring,
        git_cache=git_cache(settings),
        borrows=borrowable(spec, saved_sources, settings.roots),
        since=since,
        dry=dry,
    )
    reader = reader_for(spec, context)
    return reader if context.admits is None else Restricted(reader, context.admits)


def git_cache(settings: Settings) -> Path:
    """Returns the folder with the mirrors of remote git repositories."""
    return settings.home.absolute() / "git"


def environment_connection(conn_id: str) -> Connection:
    """The connection in `SLUICE_CONNECTION_<ID>`, a URI in Airflow's form:
    `<kind>://login:password@host:port/schema?name=value`, each part percent-encoded. Extras are the query, or JSON in
    `__extra__`. Raises BadRequest."""
    uri = connection_uri(conn_id)
    if uri is None:
        raise BadRequest(
            f"There is no connection {conn_id!r}. Nothing was read. Under Airflow, add it (Admin, Connections); "
            "elsewhere set SLUICE_CONNECTION_<ID> to its URI, with the id in capitals."
        )
    try:
        return _parsed_connection(uri.get_secret_value())
    except ValueError:  # its message would repeat parts of the secret
        raise BadRequest(
            f"The URI of connection {conn_id!r} is not valid. Write <kind>://login:password@host:port/schema, "
            "each part percent-encoded."
        ) from None


def _parsed_connection(uri: str) -> Connection:
    """The connection in a URI. Raises ValueError."""
    parts = urlsplit(uri)
    extra: dict[str, Any] = dict(parse_qsl(parts.query, keep_blank_values=True))
    json_extra = json.loads(extra.pop("__extra__", "{}"))
    if "://" not in uri or not parts.scheme or parts.fragment or not isinstance(json_extra, dict):
        raise ValueError("not a connection's URI")
    return Connection(
        host=unquote(parts.hostname or ""),
        port=parts.port,
        login=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        schema=unquote(parts.path.removeprefix("/")),
        extra={**extra, **json_extra},
    )
