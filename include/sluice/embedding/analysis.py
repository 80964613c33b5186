"""Analysis of texts by language for BM25: words, stop words, stems.

Terms of English, and of documents whose language is not known or has no stemmer here, are stems. Terms of another
language begin with its code, so equal stems of two languages are different terms.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from py_rust_stemmers import SnowballStemmer

from sluice import encryption
from sluice.embedding.stopwords import STOPWORDS
from sluice.model.words import WordNumbers, plain_spelling, words

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
