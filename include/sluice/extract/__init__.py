"""Extract: from a source's URI to the text of its documents.

`reader_for` chooses the reader of a source (one file per kind: `file.py`, `jsonl.py`); `formats.IsolatedExtractor`
turns bytes into text. Imports happen inside the function, so that the worker process, which lives in this package
too, starts without them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sluice.errors import BadRequest

if TYPE_CHECKING:
    from sluice.model import SourceSpec
    from sluice.ports import SourceReader

SCHEMES = ("file", "jsonl")


def reader_for(spec: SourceSpec, *, roots: Sequence[Path], max_bytes: int) -> SourceReader:
    """The reader of `spec.uri`. `roots`: folders that may be read; `max_bytes`: of one document.

    Raises BadRequest at once where the scheme is unknown, the URI carries a password or lies outside the roots.
    """
    scheme, separator, rest = spec.uri.partition("://")
    scheme = scheme.lower()
    if separator and "@" in rest.partition("/")[0]:
        raise BadRequest(
            f"The {scheme}:// source carries a login in its URI. A URI is stored and shown, so it must not hold one: "
            "take it out, and keep the login in a connection."
        )
    if not separator or scheme not in SCHEMES:
        shown = f"{scheme}://" if separator else repr(spec.uri[:80])
        raise BadRequest(
            f"{shown} is not a source that can be read. Allowed are file:///folder (or one file) and jsonl:///file; "
            "a path in the file system starts with three slashes."
        )
    if scheme == "jsonl":
        from sluice.extract.jsonl import JsonlReader

        return JsonlReader(spec, roots=roots, max_bytes=max_bytes)
    from sluice.extract.file import FileReader

    return FileReader(spec, roots=roots, max_bytes=max_bytes)
