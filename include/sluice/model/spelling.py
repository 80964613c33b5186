"""Names that are not known: a misspelled option is refused, because leaving it out may open what it was to close."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches


def unknown_names(given: Iterable[object], known: Collection[str], what: str) -> str | None:
    """A sentence that names each unknown name with the nearest known one; None where all are known.
    `what`: what the names are, e.g. `param`."""
    found = sorted({str(each)[:80] for each in given if each not in known})
    if not found:
        return None
    named = ", ".join(f"{each!r}{_nearest(each, known)}" for each in found[:10])
    return f"There is no {what} {named}. Known: {', '.join(sorted(known)) or 'none'}."


def _nearest(name: str, known: Collection[str]) -> str:
    by_folded = {each.casefold(): each for each in known}
    near = get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.6)
    return f" (did you mean {by_folded[near[0]]!r}?)" if near else ""
