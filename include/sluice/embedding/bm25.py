"""BM25 as sparse vectors (Robertson & Zaragoza 2009): term weights here, IDF in the vector index.

A term's index in the vector is a keyed hash of its stem, so that the words cannot be read from stored vectors. A text
is analysed in the language of its document; a query, whose language cannot be known from a few words, in every language
of the collection (docs/decisions/0059).

A word with accents has two terms, its spelling and the plain one, which has less weight: either spelling matches both,
and the same spelling ranks first (docs/decisions/0039).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from sluice.embedding.analysis import ENGLISH, NO_TERM, STOPWORD, Analyzer, analyzer, analyzers
from sluice.model.chunk import SparseVector

K1 = 1.2
B = 0.75
# A constant, so that a chunk's weights do not depend on other chunks. It is between the mean lengths, stopwords left
# out, of the chunks of hotpotqa_200 (60) and cranfield (86), of at most 256 wordpieces. Between 75 and 125, five of six
# public sets change by less than .01 nDCG@10; chunks of a few words (npl_vaswani) would need a smaller value.
AVG_TERMS = 75.0

PLAIN_IN_TEXT = 0.5  # of an occurrence
PLAIN_IN_QUERY = 0.25  # of a term's weight
# Of a query, in a language of the collection that is not the query's own: names still match, and passages in the
# query's language rank first. Measured on a collection of four languages (docs/decisions/0059).
OTHER_LANGUAGE = 0.5
# Stop words by which a query must have more of another language than of this one. One proves nothing: "war" is
# German for "was".
_EVIDENT = 2


def sparse(texts: Sequence[str], index_key: bytes, languages: Sequence[str | None] | None = None) -> list[SparseVector]:
    """Returns for each text the sorted hashes (uint32) of its terms, and their weights
    tf (k1 + 1) / (tf + k1 (1 - b + b length / AVG_TERMS)). `languages`: of each text, as ISO 639-3 code; None: not
    known, the text is analysed as English."""
    of_texts = languages or [None] * len(texts)
    return [_text_vector(text, analyzer(each, index_key)) for text, each in zip(texts, of_texts, strict=True)]


def sparse_query(text: str, index_key: bytes, languages: Sequence[str] = ()) -> SparseVector:
    """Returns weight 1 for each distinct term, less for a plain spelling and for a language that is not the query's;
    empty if the query has only stop words. `languages`: of the collection's documents, as ISO 639-3 codes."""
    known = analyzers(languages, index_key)
    tokens = [each.words(text) for each in known]
    counts = [each.stop_words(own) for each, own in zip(known, tokens, strict=True)]
    weights: dict[int, float] = {}
    for each, own, count in zip(known, tokens, counts, strict=True):
        nearer = [other for other, more in zip(known, counts, strict=True) if more >= count + _EVIDENT]
        # English too is the analysis of documents whose language is not known, so it keeps its weight.
        weight = OTHER_LANGUAGE if nearer and each.language != ENGLISH else 1.0
        own = [word for word in own if not any(other.stops(word) for other in nearer)]
        for term, share in _query_terms(each, own).items():
            weights[term] = weight * share
    hashes = sorted(weights)
    return SparseVector(np.array(hashes, np.uint32), np.array([weights[each] for each in hashes], np.float32))


def term_sequence(text: str, index_key: bytes) -> list[int]:
    """Returns the terms of the words of a text, in order, STOPWORD (negative) for stop words. Texts of every language
    are analysed as English: for comparing texts with each other, not with stored vectors."""
    analysis = analyzer(None, index_key)
    return [analysis.terms[word] for word in analysis.words(text)]


def _text_vector(text: str, analysis: Analyzer) -> SparseVector:
    tokens = analysis.words(text)
    counts: dict[int, float] = dict(Counter(map(analysis.terms.__getitem__, tokens)))
    counts.pop(STOPWORD, 0)
    length = sum(counts.values())
    if not text.isascii():
        for term in map(analysis.plain_terms.__getitem__, tokens):
            if term != NO_TERM:
                counts[term] = counts.get(term, 0) + PLAIN_IN_TEXT
    indices = np.fromiter(counts.keys(), np.uint32, len(counts))
    tf = np.fromiter(counts.values(), np.float32, len(counts))
    order = np.argsort(indices)
    tf = tf[order]
    weights = tf * (K1 + 1) / (tf + K1 * (1 - B + B * length / AVG_TERMS))
    return SparseVector(indices[order], weights.astype(np.float32))


def _query_terms(analysis: Analyzer, tokens: Sequence[str]) -> dict[int, float]:
    weights = dict.fromkeys((analysis.plain_terms[word] for word in tokens), PLAIN_IN_QUERY)
    weights |= dict.fromkeys((analysis.terms[word] for word in tokens), 1.0)
    return {term: weight for term, weight in weights.items() if term not in (NO_TERM, STOPWORD)}
