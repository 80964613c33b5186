"""Entity extraction without a model: sequences of words that begin with a capital letter.

Together with titles and headings (`sluice.chunking.about`) they connect passages as well as a recogniser's entities, in
a hundredth of its time (docs/decisions/0044). In languages that capitalise all nouns they include more than names;
scripts without capitals have none, and there titles and headings alone connect passages.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from uuid import UUID

from sluice.adapters.entities.naming import entity_id, normalise, shown, tidy
from sluice.ports.content import Recognized

KIND = "PHRASE"
_FEWEST_CHARS = 3
_MOST_WORDS = 6  # of a name within a name
# Words with inner punctuation (AT&T, O'Neill, e-mail), and initials with their full stops.
_WORD = r"(?:(?:[^\W\d_]\.)+(?= )|[^\W_]+(?:[’'.&-][^\W_]+)*)"
# The expression itself skips ASCII words that begin with a small letter, which are nearly all words.
_FIRST = re.compile(rf"(?<![^\W_])(?![a-z\d]){_WORD}")
_NEXT = re.compile(rf"(?: (?:of|the|de|la|le|du|da|di|del|der|von|van|&)){{0,2}} ({_WORD})")
_ANY_WORD = re.compile(_WORD)
# Words that begin sentences and are not part of a name.
_SMALL = (
    "a after all also although an and another any are as at be because before both but by can did do does during each "
    "first for from had has have he her here his how however i if in into is it its last many may more most my no not "
    "now of on one or other our second several she should since so some such than that the their then there these they "
    "this those three through to two under until upon was we were what when where which while who whom whose why will "
    "with would yet you your"
)
_OPENERS = frozenset(_SMALL.split())


class Phrases:
    """Extracts sequences of capitalised words; small words such as *of* may join two of them."""

    name = "phrases"

    def extract(self, texts: Sequence[str]) -> list[Recognized]:
        """Returns the names of each text, most frequent first. Spellings that normalise alike are one name, under the
        most frequent spelling."""
        return [_recognized(text) for text in texts]


def _recognized(text: str) -> Recognized:
    spellings: dict[str, Counter[tuple[str, str]]] = {}
    for name in _names(text):
        spellings.setdefault(normalise(name), Counter())[KIND, name] += 1
    return Recognized(sorted(map(shown, spellings.values()), key=lambda each: (-each[2], each[1])))


def ids_within(index_key: bytes, text: str, most: int) -> dict[UUID, str]:
    """Returns the names of a text and the names within them (*Chicago* within *University of Chicago*): the ids that
    their entities would have, with the spelling. In the order of the text, at most `most`."""
    return _spelled(index_key, text, _runs(text), most)


def ids_of_any_words(index_key: bytes, text: str, most: int) -> dict[UUID, str]:
    """Returns every sequence of up to six words that could be a name, as `ids_within`: questions are often written
    without capitals."""
    return _spelled(index_key, text, [[word.span() for word in _ANY_WORD.finditer(text)]], most)


def _spelled(index_key: bytes, text: str, runs: Iterable[Sequence[tuple[int, int]]], most: int) -> dict[UUID, str]:
    names: dict[UUID, str] = {}
    for words in runs:
        for first, (start, _) in enumerate(words):
            for _, end in words[first : first + _MOST_WORDS]:
                spelling = tidy(text[start:end])
                if len(spelling) > _FEWEST_CHARS:
                    names.setdefault(entity_id(index_key, spelling), spelling)
            if len(names) >= most:
                return dict(islice(names.items(), most))
    return names


def _names(text: str) -> Iterator[str]:
    for words in _runs(text):
        end = words[-1][1]
        start = next((start for start, stop in words if not _opens(text[start:stop])), None)
        if start is not None and (name := tidy(text[start:end])) and len(name) >= _FEWEST_CHARS:
            yield name


def _runs(text: str) -> Iterator[list[tuple[int, int]]]:
    """Yields the (start, end) of the words of each sequence that begins with a capitalised word, without the small
    words that join them."""
    position = 0
    while first := _FIRST.search(text, position):
        position = first.end()
        if not first[0][0].isupper():
            continue
        words = [first.span()]
        while (following := _NEXT.match(text, position)) and (following[1][0].isupper() or following[1][0].isdigit()):
            words.append(following.span(1))
            position = following.end()
        yield words


def _opens(word: str) -> bool:
    """Returns whether the word is dropped from the start of a name: a word that begins sentences, or a number."""
    return word.casefold() in _OPENERS or word.isdigit()
