"""Extract: from a source's URI to the text of its documents.

`reader_for` chooses the reader of a source (one file per kind: `file.py`, `jsonl.py`, …); `formats.IsolatedExtractor`
turns bytes into text. Imports happen inside the function, so that the worker process, which lives in this package
too, starts without them.

A new kind of source is a module with a `ports.SourceReader` that is made as `Reader(spec, reach)`, and a line in
`READERS`; docs/sources.md lists what else has to know it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sluice.errors import BadRequest
from sluice.sources.uri_parts import uri_parts

if TYPE_CHECKING:
    from sluice.model.source import SourceSpec
    from sluice.ports.readers import SourceReader
    from sluice.sources.context import Reach

# Scheme → the class that reads it, `<module of this package>:<class>`.
READERS = {
    "file": "file:FileReader",
    "jsonl": "jsonl:JsonlReader",
    "s3": "s3:S3Reader",
    "https": "web.reader:WebReader",
    "http": "web.reader:WebReader",
    "git+file": "git.reader:GitReader",
    "git+https": "git.reader:GitReader",
    "postgresql": "rows:RowReader",
    "uploads": "uploads:UploadReader",
}
ALLOWED = (
    "file:///folder (or one file), jsonl:///file, s3://bucket/folder/, https://host/page-or-list, "
    "git+file:///repository, git+https://host/repository, postgresql://<connection id>?table=… and "
    "uploads://<tenant>/<collection>"
)


def reader_for(spec: SourceSpec, reach: Reach | None = None, **given: Any) -> SourceReader:
    """The reader of `spec.uri`. What it may use is `reach`, or one that is made of `given`.

    Raises BadRequest at once where the scheme is unknown, the URI carries a password or lies outside what is allowed.
    """
    from sluice.sources.context import Reach

    module, _, name = READERS[check_scheme(spec.uri)].partition(":")
    made: type = getattr(import_module(f"sluice.sources.{module}"), name)
    reader: SourceReader = made(spec, reach or Reach(**given))
    return reader


def check_scheme(uri: str) -> str:
    """The scheme in lower case, one of `READERS`. Raises BadRequest, and repeats no password."""
    scheme, separator, rest = uri.partition("://")
    scheme = scheme.lower()
    if separator and "@" in rest.partition("/")[0]:
        raise BadRequest(
            f"The {scheme}:// source carries a login in its URI. A URI is stored and shown, so it must not hold one: "
            "take it out, and keep the login in a connection."
        )
    if not separator or scheme not in READERS:
        shown = f"{scheme}://" if separator else repr(uri[:80])
        raise BadRequest(
            f"{shown} is not a source that can be read. Allowed are {ALLOWED}; "
            "a path in the file system starts with three slashes."
        )
    try:
        uri_parts(uri)
    except ValueError as error:
        raise BadRequest(
            f"The {scheme}:// source cannot be understood: its host, its port or a character in it is not one that a "
            "URI can have. Write such characters as %XX. Nothing was read."
        ) from error
    return scheme
