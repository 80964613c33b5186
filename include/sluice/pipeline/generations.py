"""Live generations by the name of their collection."""

from __future__ import annotations

from sluice.errors import NotFound
from sluice.model.generation import Generation
from sluice.ports.tools import Tools


def live_generations(tools: Tools, collection: str | None) -> list[Generation]:
    """Of all collections, or of one. Raises NotFound where there is no such collection."""
    matches = [each for each in tools.ledger.collections.generations() if collection in (None, each.collection)]
    if collection is not None and not matches:
        raise NotFound(
            f"There is no collection {collection}. Nothing was changed. `sluice collections list` shows those that "
            "there are; correct the name."
        )
    return matches
