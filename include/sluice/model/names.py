"""Names that every store accepts."""

from __future__ import annotations

import re

from sluice.errors import BadRequest
from sluice.model.text import is_storable

NAME_PATTERN = "^[a-z0-9][a-z0-9_-]{0,62}$"  # of collections, and of tenants in forms and URLs
_NAME = re.compile(NAME_PATTERN.removeprefix("^").removesuffix("$"))
MAX_ID_CHARS = 1000


def is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


def check_collection_name(name: str) -> None:
    """Raises BadRequest where it cannot be a collection's name."""
    if not is_name(name) or "__g" in name:
        raise BadRequest(
            f"{name[:80]!r} cannot be a collection's name: use 1 to 63 of a-z, 0-9, '_' and '-', beginning with a "
            "letter or digit, without '__g' (which marks generations)."
        )


def check_tenant_name(name: str) -> None:
    """Raises BadRequest where it cannot be a tenant's name."""
    if not 0 < len(name) <= 200 or not is_storable(name):
        raise BadRequest(f"{name!r} cannot be a tenant's name: use 1 to 200 printable characters.")


def is_external_id(text: str) -> bool:
    """Returns whether this may be the id of a record, a row or an upload."""
    return 0 < len(text) <= MAX_ID_CHARS and text.isprintable()
