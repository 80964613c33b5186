"""Names and text as every store can hold them, and the one form of a host's name."""

from __future__ import annotations

import re

from sluice.errors import BadRequest

_COLLECTION = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


def check_collection_name(name: str) -> None:
    """Raises BadRequest."""
    if not _COLLECTION.fullmatch(name) or "__g" in name:
        raise BadRequest(
            f"{name[:80]!r} cannot be a collection's name: use 1 to 63 of a-z, 0-9, '_' and '-', beginning with a "
            "letter or digit, without '__g' (which marks generations)."
        )
