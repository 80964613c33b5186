"""The reader of a source, by its scheme: one module for each kind (`file.py`, `jsonl.py`, …)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sluice.sources.context import SourceContext
from sluice.sources.uri import check_scheme, imported

if TYPE_CHECKING:
    from sluice.model.source import SourceSpec
    from sluice.ports.readers import SourceReader


def reader_for(spec: SourceSpec, reach: SourceContext | None = None, **given: Any) -> SourceReader:
    """The reader of `spec.uri`. What it may use is `reach`, or one that is made of `given`.

    Raises BadRequest at once where the scheme is unknown, the URI carries a password or lies outside what is allowed.
    """
    made: Any = imported(check_scheme(spec.uri).reader)
    reader: SourceReader = made(spec, reach or SourceContext(**given))
    return reader
