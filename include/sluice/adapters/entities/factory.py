"""Entity extractors by name (the port EntityExtractor). Each is created on first use, once per process."""

from __future__ import annotations

from threading import Lock

from sluice.errors import BadRequest
from sluice.ports.content import EntityExtractor

_extractors: dict[str, EntityExtractor] = {}
_lock = Lock()


def make_entities(name: str) -> EntityExtractor | None:
    """Returns the process's extractor of that name; None for `off`. Raises BadRequest on a name that is unknown or not
    installed."""
    if name == "off":
        return None
    with _lock:
        if name not in _extractors:
            _extractors[name] = _make(name)
        return _extractors[name]


def _make(name: str) -> EntityExtractor:
    if name == "phrases":
        from sluice.adapters.entities.phrases import Phrases

        return Phrases()
    from sluice.adapters.entities.spacy import RELATIONS, SpacyEntities

    kind, _, argument = name.partition(":")
    pipeline, plus, option = argument.partition("+")
    if kind != "spacy" or not pipeline.isidentifier() or plus + option not in ("", RELATIONS):
        raise BadRequest(
            f"There is no entity extractor {name!r}. Use phrases; spacy:<pipeline>, e.g. spacy:en_core_web_sm; "
            f"spacy:<pipeline>{RELATIONS}; or off."
        )
    return SpacyEntities(pipeline, relations=bool(plus))
