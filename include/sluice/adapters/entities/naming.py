"""Names as entities: tidied, compared, and their ids."""

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
    """One entity per tenant (whose key it is) and normalised name; who lacks the key cannot tell a name from an id.

    The kind is no part of it: a model that reads a sentence at a time calls one name ORG here and PERSON there, and
    the graph would fall apart along its mistakes."""
    return UUID(bytes=keyed_hash(index_key, "entity", normalise(name).encode("utf-8", "surrogatepass"))[:16], version=5)


def normalise(name: str) -> str:
    """The form in which names are compared: no case, no leading article, one space, no marks at the edges."""
    folded = " ".join(unicodedata.normalize("NFKC", name).casefold().split()).strip(_EDGES)
    return folded.removeprefix("the ") or folded


def tidy(text: str) -> str:
    """The name without what clings to it; empty where it is none."""
    name = " ".join(text.split()).strip(_EDGES)
    name = name.removesuffix("'s").removesuffix("’s").strip(_EDGES)
    if len(name) < 2 or len(name) > _MAX_CHARS or name.count(" ") >= _MAX_WORDS or _MARKUP.search(name):
        return ""
    return name if any(character.isalpha() for character in name) else ""


def shown(spellings: Counter[tuple[str, str]]) -> tuple[str, str, int]:
    """(kind, name, count) of one entity. Equal counts go by the alphabet, so that the same text always gives the same
    graph."""
    kinds: Counter[str] = Counter()
    names: Counter[str] = Counter()
    for (kind, name), count in spellings.items():
        kinds[kind] += count
        names[name] += count
    kind = min(kinds, key=lambda each: (-kinds[each], each))
    name = min(names, key=lambda each: (-names[each], each))
    return kind, name, kinds.total()
