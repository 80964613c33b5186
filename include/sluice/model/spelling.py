"""Unknown names. A misspelled option is rejected, because ignoring it could disable a protection."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches


def unknown_names(given: Iterable[object], known: Collection[str], what: str) -> str | None:
    """Returns a sentence with each unknown name and the nearest known one; None where all are known.
    `what`: the kind of the names, e.g. `param`."""
    unknown = sorted({str(each)[:80] for each in given if each not in known})
    if not unknown:
        return None
    named = ", ".join(f"{each!r}{_nearest(each, known)}" for each in unknown[:10])
    return f"There is no {what} {named}. Known: {', '.join(sorted(known)) or 'none'}."


def _nearest(name: str, known: Collection[str]) -> str:
    by_folded = {each.casefold(): each for each in known}
    near = get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.6)
    return f" (did you mean {by_folded[near[0]]!r}?)" if near else ""
