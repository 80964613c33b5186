"""Selects the reader of a source by the scheme of its URI. Each kind has a module (`file.py`, `jsonl.py`, …)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sluice.sources.context import SourceContext
from sluice.sources.uri import check_scheme, imported

if TYPE_CHECKING:
    from sluice.model.source import SourceSpec
    from sluice.ports.readers import SourceReader


def reader_for(spec: SourceSpec, context: SourceContext | None = None, **given: Any) -> SourceReader:
    """Returns the reader of `spec.uri`. It may use `context`, or a context made of `given`.

    Raises BadRequest if the scheme is unknown, the URI holds a password, or it lies outside the allowed places.
    """
    reader_class: Any = imported(check_scheme(spec.uri).reader)
    reader: SourceReader = reader_class(spec, context or SourceContext(**given))
    return reader
