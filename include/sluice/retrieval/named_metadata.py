"""Metadata that a question names: a publisher, an author, a date.

Many passages have the topic of "What did The Verge report on 6 November 2023?". It asks for those of one publisher and
one day, of which their text says nothing. A passage gains for values of its document's metadata that stand in the
question, the more the fewer of the documents have the value (inverse document frequency among what was read).
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from itertools import islice
from typing import Any
from uuid import UUID

from sluice.model.metadata import OWN
from sluice.model.passage import Passage
from sluice.model.words import UNSPACED, plain_spelling, words
from sluice.retrieval.word_pairs import rarity

MOST = 2.0  # of a passage; else many keywords would count more than what the passage says
_FILE_FACTS = frozenset({"attachments", "language", "mime", "pages", "sheets", "slides"})
_MOST_VALUES = 50  # of a document
_MOST_CHARS = 80  # of a value
_LEAST_CHARS, _LEAST_UNSPACED = 3, 2
_YEARS = range(1000, 3000)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}(?!\d)")  # ISO 8601, with or without a time
_NUMBER_OR_WORD = re.compile(r"\d+|[^\W\d_]+")
_SENTENCE_OR_WORD = re.compile(r"([.?!])|([^\W_]+)")
_BESIDE_YEAR = 4  # numbers and words: "6 de noviembre de 2023"
_ENGLISH = ("eng", "en_GB")


def named_values(passages: Sequence[Passage], question: str, languages: Sequence[str]) -> list[float]:
    """Returns a score for each passage: the sum of the rarities of its document's values that the question names, from
    0 to `MOST`. A value that no other document has counts 1; of each field the rarest value counts.

    Case, signs and accents are ignored. A value of one word must have a capital in the question, and not only because a
    sentence begins. Days may be written as usual in the languages (ISO 639-3) or in English."""
    asked = _Question.of(question, languages)
    fields: dict[UUID, list[set[str]]] = {}
    for each in passages:
        if each.document_id not in fields:
            fields[each.document_id] = asked.names_in(each.metadata)
    counts = Counter(name for own in fields.values() for name in set().union(*own))
    most = rarity(1, len(fields))
    rarities = {name: rarity(count, len(fields)) / most for name, count in counts.items()}
    scores = {}
    for document_id, own in fields.items():
        rarest = {max(sorted(names), key=rarities.__getitem__) for names in own if names}
        scores[document_id] = min(MOST, sum(map(rarities.__getitem__, rarest)))
    return [scores[each.document_id] for each in passages]


@dataclass(frozen=True, slots=True)
class _Question:
    words: str  # between spaces
    capitalised: frozenset[str]
    days: frozenset[str]

    @staticmethod
    def of(text: str, languages: Sequence[str]) -> _Question:
        return _Question(_folded(text), frozenset(_capitalised(text)), frozenset(_days(text, tuple(languages))))

    def names_in(self, metadata: Mapping[str, Any]) -> list[set[str]]:
        """Returns what the question names of each field."""
        fields: dict[str, set[str]] = {}
        for key, value in islice(_values(metadata), _MOST_VALUES):
            if (name := self._name(value)) is not None:
                fields.setdefault(key, set()).add(name)
        return list(fields.values())

    def _name(self, value: Any) -> str | None:
        if isinstance(value, int) and not isinstance(value, bool) and value in _YEARS:
            value = str(value)
        if not isinstance(value, str) or len(value) > _MOST_CHARS:
            return None
        if day := _DAY.match(value):
            return day[0] if day[0] in self.days else None
        folded = _folded(value)
        name = folded.strip()
        unspaced = UNSPACED.search(name)
        if len(name) < (_LEAST_UNSPACED if unspaced else _LEAST_CHARS) or folded not in self.words:
            return None
        one_word = name.isalpha() and name.upper() != name and not unspaced
        return None if one_word and name not in self.capitalised else name


def _values(metadata: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in metadata.items():
        if key not in OWN and key not in _FILE_FACTS:
            for each in value if isinstance(value, list) else [value]:
                yield key, each


def _folded(text: str) -> str:
    return f" {' '.join(map(plain_spelling, words(text)))} "


def _capitalised(text: str) -> Iterator[str]:
    """Yields the words that are written as names: with a capital that is not only that of a sentence."""
    begins = True
    for end, word in _SENTENCE_OR_WORD.findall(unicodedata.normalize("NFKC", text)):
        if any(map(str.isupper, word[1:])) or (word[:1].isupper() and not begins):
            yield plain_spelling(word.casefold())
        begins = bool(end)


def _days(text: str, languages: tuple[str, ...]) -> Iterator[str]:
    """Yields the days that stand in a text with their year, in ISO 8601. Where day and month may be meant in either
    order, both are yielded."""
    tokens = _numbers_and_words(text)
    for place, token in enumerate(tokens):
        if len(token) == 4 and token.isdecimal() and (year := int(token)) in _YEARS:
            before, after = tokens[max(0, place - _BESIDE_YEAR) : place], tokens[place + 1 : place + 1 + _BESIDE_YEAR]
            for month, day in (*_months_and_days(before[::-1], languages), *_months_and_days(after, languages)):
                try:
                    yield date(year, month, day).isoformat()
                except ValueError:
                    continue


def _numbers_and_words(text: str) -> list[str]:
    return _NUMBER_OR_WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def _months_and_days(tokens: Sequence[str], languages: tuple[str, ...]) -> Iterator[tuple[int, int]]:
    """`tokens`: those beside a year, the nearest first."""
    numbers = [int(each) for each in tokens if each.isdecimal() and len(each) <= 2]
    months = [month for each in tokens if (month := _months(languages).get(each))]
    if months and numbers:
        yield months[0], numbers[0]
    elif len(numbers) > 1:
        yield numbers[0], numbers[1]
        yield numbers[1], numbers[0]


@lru_cache(100)
def _months(languages: tuple[str, ...]) -> Mapping[str, int]:
    """Returns the numbers of months by their names and abbreviations."""
    from babel import Locale, UnknownLocaleError  # 0.1 s, and few questions name a day
    from babel.dates import get_month_names

    months: dict[str, int] = {}
    for language in dict.fromkeys((*_ENGLISH, *languages)):
        try:
            locale = Locale.parse(language)
        except (ValueError, UnknownLocaleError):
            continue
        for width in ("wide", "abbreviated"):
            for number, name in get_month_names(width, "format", locale).items():
                parts = _numbers_and_words(name)
                if len(parts) == 1:  # "11月" is found by its number
                    months.setdefault(parts[0], number)
    return months
