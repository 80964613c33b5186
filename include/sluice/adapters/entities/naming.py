"""Names of entities: cleaning, normalisation and ids."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from uuid import UUID

from sluice.encryption import keyed_hash

_MAX_CHARS = 80
_MAX_WORDS = 8
_MARKUP = re.compile(r"[<>{}\[\]|=`*#@\\~^]|://")
_EDGES = " \t\n.,;:!?\"'()-–—_/&‘’“”"


def entity_id(index_key: bytes, name: str) -> UUID:
    """Returns the id of the entity: one for each tenant (by its key) and normalised name. Without the key a name cannot
    be derived from an id.

    The kind is not part of the id: a model that reads one sentence at a time labels one name ORG here and PERSON there,
    and such errors would split an entity."""
    return UUID(bytes=keyed_hash(index_key, "entity", normalise(name).encode("utf-8", "surrogatepass"))[:16], version=5)


def normalise(name: str) -> str:
    """Returns the form in which names are compared: case-folded, without a leading article, with single spaces and no
    punctuation at the edges."""
    folded = " ".join(unicodedata.normalize("NFKC", name).casefold().split()).strip(_EDGES)
    return folded.removeprefix("the ") or folded


def tidy(text: str) -> str:
    """Returns the name without surrounding punctuation and possessive `'s`; empty if the text is not a name."""
    name = " ".join(text.split()).strip(_EDGES)
    name = name.removesuffix("'s").removesuffix("’s").strip(_EDGES)
    if len(name) < 2 or len(name) > _MAX_CHARS or name.count(" ") >= _MAX_WORDS or _MARKUP.search(name):
        return ""
    return name if any(character.isalpha() for character in name) else ""


def shown(spellings: Counter[tuple[str, str]]) -> tuple[str, str, int]:
    """Returns (kind, name, count) of one entity: its most frequent kind and name. Equal counts are ordered
    alphabetically, so that the same text always gives the same graph."""
    kinds: Counter[str] = Counter()
    names: Counter[str] = Counter()
    for (kind, name), count in spellings.items():
        kinds[kind] += count
        names[name] += count
    kind = min(kinds, key=lambda each: (-kinds[each], each))
    name = min(names, key=lambda each: (-names[each], each))
    return kind, name, kinds.total()
