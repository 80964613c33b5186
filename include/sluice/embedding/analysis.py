"""Analysis of texts by language for BM25: words, stop words, stems.

Terms of English, and of documents whose language is not known or has no stemmer here, are stems. Terms of another
language begin with its code, so equal stems of two languages are different terms.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache

from py_rust_stemmers import SnowballStemmer

from sluice import encryption
from sluice.embedding.stopwords import STOPWORDS
from sluice.model.text import UNSPACED
from sluice.model.words import WordNumbers

ENGLISH = "eng"
STEMMERS = {
    "ara": "arabic",
    "dan": "danish",
    "deu": "german",
    "ell": "greek",
    "eng": "english",
    "fin": "finnish",
    "fra": "french",
    "hun": "hungarian",
    "ita": "italian",
    "nld": "dutch",
    "nob": "norwegian",
    "por": "portuguese",
    "ron": "romanian",
    "rus": "russian",
    "spa": "spanish",
    "swe": "swedish",
    "tur": "turkish",
}
"""Snowball's algorithm by ISO 639-3 code. Each of these languages also has stop words."""

NO_TERM = 0
STOPWORD = -1

_LEAST_STOP_WORDS = 0.05  # of all words of a text in a language that has a list of them
_MAX_TERM_CHARS = 64
_MAX_KNOWN_WORDS = 200_000
_ASCII_WORD = re.compile(r"[a-z0-9]+")
_WORD = re.compile(r"[^\W_]+(?:[\u0300-\u036f]+[^\W_]*)*")
_UNSPACED = re.compile(f"[{UNSPACED}]+")
# Soft hyphen, zero-width space and joiners, direction marks: they belong to the layout, not to the word.
_INVISIBLE = re.compile("[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]+")
# In other scripts a mark makes another letter: Japanese ka and ga, Devanagari vowels.
_MARKED = re.compile("([\u0041-\u024f\u0370-\u03ff\u0400-\u052f\u1e00-\u1fff])[\u0300-\u036f]+")
_PLAIN_LETTERS = str.maketrans({"ı": "i", "ø": "o", "ł": "l", "đ": "d", "ħ": "h", "ŧ": "t", "æ": "ae", "œ": "oe"})
# Vowel marks and the stretching letter of Arabic: most texts leave them out.
_ARABIC_MARKS = re.compile("[\u0640\u064b-\u065f\u0670]+")


class Analyzer:
    """Terms of one language under one tenant's key. Threads may share it."""

    def __init__(self, language: str, index_key: bytes) -> None:
        self.language = language
        self._stop_words = STOPWORDS[language]
        self._stemmer = SnowballStemmer(STEMMERS[language])
        self._key = index_key
        self.terms = WordNumbers(self._term, _MAX_KNOWN_WORDS)
        """Word → hash of its stem, or STOPWORD."""
        self.plain_terms = WordNumbers(self._plain_term, _MAX_KNOWN_WORDS)
        """Word → hash of its plain spelling's stem; NO_TERM if that is the word's own term, or a stop word."""

    def words(self, text: str) -> list[str]:
        """Returns the words of a text, in order; stop words included."""
        return words(_ARABIC_MARKS.sub("", text) if self.language == "ara" and not text.isascii() else text)

    def stop_words(self, tokens: Iterable[str]) -> int:
        """Returns the number of stop words among words."""
        return sum(map(self._stop_words.__contains__, tokens))

    def stops(self, word: str) -> bool:
        return word in self._stop_words

    def _term(self, word: str) -> int:
        if word in self._stop_words:
            return STOPWORD
        stem = self._stemmer.stem_word(word[:_MAX_TERM_CHARS])
        # A word has no colon, so no term of English equals one of another language.
        return encryption.token_hash(self._key, stem if self.language == ENGLISH else f"{self.language}:{stem}")

    def _plain_term(self, word: str) -> int:
        plain = plain_spelling(word)
        own = self.terms[word]
        if plain == word or own == STOPWORD:
            return NO_TERM
        term = self.terms[plain]
        return NO_TERM if term in (STOPWORD, own) else term


def analyzer(language: str | None, index_key: bytes) -> Analyzer:
    """Returns the analyzer of a document's language; English's if the language is None or has no stemmer."""
    return _analyzer(language if language in STEMMERS else ENGLISH, index_key)


def analyzers(languages: Sequence[str], index_key: bytes) -> list[Analyzer]:
    """Returns the analyzers of a collection's languages: first English's, which documents without a known language
    and points of older releases have, too."""
    others = sorted({each for each in languages if each in STEMMERS} - {ENGLISH})
    return [_analyzer(language, index_key) for language in (ENGLISH, *others)]


@lru_cache(maxsize=32)
def _analyzer(language: str, index_key: bytes) -> Analyzer:
    return Analyzer(language, index_key)


def confirmed(language: str | None, text: str) -> str | None:
    """Returns the detected language if the stop words of the text confirm it, else None.

    The detector compares letters, so a short text of names or formulas gets some language. A text in a language
    that has a list of stop words contains them (at least one word in twenty), and more of them than of English's.
    """
    if language is None or language == ENGLISH:
        return language
    tokens = words(text)
    own, english = STOPWORDS.get(language), sum(each in STOPWORDS[ENGLISH] for each in tokens)
    if own is None:
        return language if english < _LEAST_STOP_WORDS * len(tokens) else None
    found = sum(each in own for each in tokens)
    return language if found > english and found >= _LEAST_STOP_WORDS * len(tokens) else None


def words(text: str) -> list[str]:
    """Returns case-folded words without invisible characters; in scripts without spaces, pairs of neighbouring
    characters (or a single one)."""
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    tokens: list[str] = []
    for word in _WORD.findall(unicodedata.normalize("NFKC", _INVISIBLE.sub("", text)).casefold()):
        if word.isascii() or not _UNSPACED.search(word):
            tokens.append(word)
        else:
            tokens.extend(_bigrams(word))
    return tokens


def plain_spelling(word: str) -> str:
    """Returns a case-folded word with its Latin, Greek and Cyrillic letters without marks."""
    if word.isascii():
        return word
    bare = _MARKED.sub(r"\1", unicodedata.normalize("NFD", word))
    return unicodedata.normalize("NFC", bare).translate(_PLAIN_LETTERS)


def _bigrams(word: str) -> list[str]:
    tokens: list[str] = []
    position = 0
    for run in _UNSPACED.finditer(word):
        if run.start() > position:
            tokens.append(word[position : run.start()])
        characters = run[0]
        tokens.extend(characters[i : i + 2] for i in range(max(1, len(characters) - 1)))
        position = run.end()
    if position < len(word):
        tokens.append(word[position:])
    return tokens
