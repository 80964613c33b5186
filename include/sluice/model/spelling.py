"""Unknown names. A misspelled option is rejected, because ignoring it could disable a protection."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches

_FEW = 20  # names that a reader looks through


def unknown_names(given: Iterable[object], known: Collection[str], what: str) -> str | None:
    """Returns a sentence with each unknown name and the nearest known one; None where all are known. A
    long list of known names is left out where each has a near one. `what`: the kind of the names, e.g. `param`."""
    unknown = sorted({str(each)[:80] for each in given if each not in known})[:10]
    if not unknown:
        return None
    nearest = [_nearest(each, known) for each in unknown]
    named = f"There is no {what} " + ", ".join(f"{each!r}{near}" for each, near in zip(unknown, nearest, strict=True))
    if all(nearest) and len(known) > _FEW:
        return f"{named}."
    return f"{named}. Known: {', '.join(sorted(known)) or 'none'}."


def _nearest(name: str, known: Collection[str]) -> str:
    by_folded = {each.casefold(): each for each in known}
    near = get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.6)
    return f" (did you mean {by_folded[near[0]]!r}?)" if near else ""
