"""BM25 as sparse vectors (Robertson & Zaragoza 2009): term weights here, IDF in the vector index.

A term's index in the vector is a keyed hash of its stem, so that the words cannot be read from stored vectors.

A word with accents has two terms, its spelling and the plain one, which has less weight: either spelling matches both,
and the same spelling ranks first (docs/decisions/0039).
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from py_rust_stemmers import SnowballStemmer

from sluice import encryption
from sluice.embedding.stopwords import ENGLISH
from sluice.model.chunk import SparseVector
from sluice.model.words import WordNumbers

K1 = 1.2
B = 0.75
# A constant, so that a chunk's weights do not depend on other chunks. It is between the mean lengths, stopwords left
# out, of the chunks of hotpotqa_200 (60) and cranfield (86), of at most 256 wordpieces. Between 75 and 125, five of six
# public sets change by less than .01 nDCG@10; chunks of a few words (npl_vaswani) would need a smaller value.
AVG_TERMS = 75.0

PLAIN_IN_TEXT = 0.5  # of an occurrence
PLAIN_IN_QUERY = 0.25  # of a term's weight

_MAX_TERM_CHARS = 64
_MAX_KNOWN_WORDS = 200_000
_ASCII_WORD = re.compile(r"[a-z0-9]+")
_WORD = re.compile(r"[^\W_]+(?:[\u0300-\u036f]+[^\W_]*)*")
# Scripts written without spaces between words: Han, kana, Thai, Lao, Khmer, Myanmar.
_UNSPACED = re.compile(
    r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]+"
)
_STOPWORD = -1
# Soft hyphen, zero-width space and joiners, direction marks: they belong to the layout, not to the word.
_INVISIBLE = re.compile("[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]+")
# In other scripts a mark makes another letter: Japanese ka and ga, Devanagari vowels.
_MARKED = re.compile("([\u0041-\u024f\u0370-\u03ff\u0400-\u052f\u1e00-\u1fff])[\u0300-\u036f]+")
_PLAIN_LETTERS = str.maketrans({"ı": "i", "ø": "o", "ł": "l", "đ": "d", "ħ": "h", "ŧ": "t", "æ": "ae", "œ": "oe"})


def sparse(texts: Sequence[str], index_key: bytes) -> list[SparseVector]:
    """Returns for each text the sorted hashes (uint32) of its terms, and their weights
    tf (k1 + 1) / (tf + k1 (1 - b + b length / AVG_TERMS))."""
    known, plain = _known(index_key)
    vectors: list[SparseVector] = []
    for text in texts:
        tokens = words(text)
        counts: dict[int, float] = dict(Counter(map(known.__getitem__, tokens)))
        counts.pop(_STOPWORD, 0)
        length = sum(counts.values())
        if not text.isascii():
            for term in filter(None, map(plain.__getitem__, tokens)):
                counts[term] = counts.get(term, 0) + PLAIN_IN_TEXT
        indices = np.fromiter(counts.keys(), np.uint32, len(counts))
        tf = np.fromiter(counts.values(), np.float32, len(counts))
        order = np.argsort(indices)
        tf = tf[order]
        weights = tf * (K1 + 1) / (tf + K1 * (1 - B + B * length / AVG_TERMS))
        vectors.append(SparseVector(indices[order], weights.astype(np.float32)))
    return vectors


def sparse_query(text: str, index_key: bytes) -> SparseVector:
    """Returns weight 1 for each distinct term, less for a plain spelling; empty if the query has only stopwords."""
    known, plain = _known(index_key)
    tokens = words(text)
    weights = dict.fromkeys(filter(None, map(plain.__getitem__, tokens)), PLAIN_IN_QUERY)
    weights |= dict.fromkeys({known[word] for word in tokens} - {_STOPWORD}, 1.0)
    hashes = sorted(weights)
    return SparseVector(np.array(hashes, np.uint32), np.array([weights[each] for each in hashes], np.float32))


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


@lru_cache(maxsize=16)
def _known(index_key: bytes) -> tuple[WordNumbers, WordNumbers]:
    """Returns word → hash of its stem, or _STOPWORD; and word → hash of its plain spelling's stem, 0 if that is the
    word's own term, or a stopword."""
    stemmer = SnowballStemmer("english")

    def stem_hash(word: str) -> int:
        if word in ENGLISH:
            return _STOPWORD
        return encryption.token_hash(index_key, stemmer.stem_word(word[:_MAX_TERM_CHARS]))

    def plain_hash(word: str) -> int:
        plain = plain_spelling(word)
        term = known[plain] if plain != word else _STOPWORD
        return 0 if term in (_STOPWORD, known[word]) else term

    known = WordNumbers(stem_hash, _MAX_KNOWN_WORDS)
    return known, WordNumbers(plain_hash, _MAX_KNOWN_WORDS)
