"""Live generations by collection name."""

from __future__ import annotations

from sluice.errors import NotFound
from sluice.model.generation import Generation
from sluice.ports.collections import Collections


def live_generations(collections: Collections, collection: str | None) -> list[Generation]:
    """Returns the live generations of all collections, or of one. Raises NotFound where it does not exist."""
    matches = [each for each in collections.generations() if collection in (None, each.collection)]
    if collection is not None and not matches:
        raise NotFound(
            f"There is no collection {collection}. Nothing was changed. Correct the name; `sluice collections list` "
            "shows all collections."
        )
    return matches
