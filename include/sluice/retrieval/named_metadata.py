"""Metadata that a question names: an author, a publisher, a date.

"What did The Verge report on 6 November 2023?" asks for few of the passages about the same, and nothing in their text
tells which. A passage gains for each value of its document's metadata that stands in the question, the more the fewer
of the passages have this value (inverse document frequency among the passages that were read).
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import lru_cache
from itertools import islice
from typing import Any

from sluice.model.metadata import OWN
from sluice.model.passage import Passage
from sluice.model.text import UNSPACED
from sluice.retrieval.word_pairs import Terms, rarity

_PEOPLE = frozenset({"author", "authors", "contributor", "creator", "editor"})
_LEAST_CHARS, _MOST_CHARS = 3, 80  # of a value; shorter ones stand in many questions by chance
_LEAST_UNSPACED = 2
_MOST_VALUES = 100  # of a passage
_WORD = re.compile(rf"[{UNSPACED}]|[^\W_{UNSPACED}]+")
_ORDINAL = re.compile(r"(?<=\d)(?:st|nd|rd|th)\b")
_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})(?!\d)")  # ISO 8601, with or without a time
_ENGLISH = ("eng", "en_GB")  # both orders of day and month
_WRITTEN = ("long", "medium")


def named_values(passages: Sequence[Passage], question: str, languages: Sequence[str], terms: Terms) -> list[float]:
    """Returns how rare the values are that the question names and each passage's document has; 1 for a value that no
    other passage has, their sum where there are several.

    Case and signs do not count, and dates may be written as usual in the languages (ISO 639-3) or in English. A
    person's surname is enough, with a capital. A value of stop words names nothing."""
    asked = _ORDINAL.sub("", _folded(question))
    capitals = {word.casefold() for word in re.findall(r"\w+", question) if word[0].isupper()}
    known: dict[tuple[str, bool], bool] = {}
    named: list[set[str]] = []
    for passage in passages:
        found = set()
        for value, person in islice(_values(passage.metadata), _MOST_VALUES):
            if (value, person) not in known:
                called = _names(asked, value, languages) or (person and _surname(value) in capitals)
                known[value, person] = called and any(term >= 0 for term in terms(value))
            if known[value, person]:
                found.add(value)
        named.append(found)
    counts = Counter(value for found in named for value in found)
    rarest = rarity(1, len(passages))
    return [sum(rarity(counts[value], len(passages)) for value in found) / rarest for found in named]


def _values(metadata: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """Yields each value and whether it is a person's name."""
    for key, value in metadata.items():
        if key not in OWN:
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, str) or (isinstance(each, int) and not isinstance(each, bool)):
                    text = str(each)
                    if _LEAST_UNSPACED <= len(text) <= _MOST_CHARS:
                        yield text, key in _PEOPLE


def _names(asked: str, value: str, languages: Sequence[str]) -> bool:
    if (found := _DATE.match(value)) and found[1] in asked and found[3].lstrip("0") in asked:
        return any(each in asked for each in _spellings(found[0], tuple(languages)))
    folded = _folded(value)
    least = _LEAST_CHARS if folded.isascii() else _LEAST_UNSPACED
    return len(folded.replace(" ", "")) >= least and folded in asked


def _surname(name: str) -> str:
    """Returns what stands before a comma, or the last word, without capitals."""
    words = _folded(name.partition(",")[0]).split()
    return words[-1] if words and len(words[-1]) >= _LEAST_CHARS else ""


def _folded(text: str) -> str:
    """Returns the words between spaces, without signs and capitals; in scripts without spaces, each character is a
    word."""
    plain = text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()
    return f" {' '.join(_WORD.findall(plain))} "


@lru_cache(10_000)
def _spellings(day: str, languages: tuple[str, ...]) -> tuple[str, ...]:
    """Returns how a date is written; only as it is where it is no date of the calendar."""
    from babel import Locale, UnknownLocaleError  # 0.1 s, and few questions name a date
    from babel.dates import format_date

    try:
        then = date.fromisoformat(day)
    except ValueError:
        return (_folded(day),)
    spellings = [day]
    for language in dict.fromkeys((*languages, *_ENGLISH)):
        try:
            locale = Locale.parse(language)
        except (ValueError, UnknownLocaleError):
            continue
        spellings += [format_date(then, form, locale) for form in _WRITTEN]
    return tuple(dict.fromkeys(map(_folded, spellings)))
