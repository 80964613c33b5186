"""What texts name: the extractors of the port EntityExtractor, and ids of entities."""

from __future__ import annotations

from threading import Lock

from sluice.errors import BadRequest
from sluice.ports.content import EntityExtractor

_made: dict[str, EntityExtractor] = {}
_making = Lock()


def make_entities(name: str) -> EntityExtractor | None:
    """The process's extractor of that name; `off` is none. Raises BadRequest on a name that is not known or not
    installed."""
    if name == "off":
        return None
    with _making:
        if name not in _made:
            _made[name] = _make(name)
        return _made[name]


def _make(name: str) -> EntityExtractor:
    if name == "phrases":
        from sluice.adapters.entities.phrases import Phrases

        return Phrases()
    from sluice.adapters.entities.spacy import RELATIONS, SpacyEntities

    kind, _, wanted = name.partition(":")
    pipeline, plus, more = wanted.partition("+")
    if kind != "spacy" or not pipeline.isidentifier() or plus + more not in ("", RELATIONS):
        raise BadRequest(
            f"There is no entity extractor {name!r}. Use phrases; spacy:<pipeline>, e.g. spacy:en_core_web_sm; "
            f"spacy:<pipeline>{RELATIONS}; or off."
        )
    return SpacyEntities(pipeline, relations=bool(plus))
