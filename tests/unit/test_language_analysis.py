"""BM25 terms by language: stems, stop words, queries over several languages, and detected languages confirmed."""

from __future__ import annotations

import numpy as np
import pytest

from sluice import encryption
from sluice.embedding.analysis import STEMMERS, confirmed
from sluice.embedding.bm25 import OTHER_LANGUAGE, sparse, sparse_query
from sluice.embedding.stopwords import STOPWORDS
from sluice.model.chunk import SparseVector

KEY = b"k" * 32
# Two forms of a word, by language, that its stemmer joins, and a stop word.
FORMS = {
    "ara": ("المكتبة", "مكتبة", "التي"),
    "dan": ("husene", "huset", "hvordan"),
    "deu": ("Häuser", "Hauses", "welche"),
    "ell": ("βιβλιοθήκες", "βιβλιοθήκη", "ποιος"),
    "eng": ("libraries", "library", "which"),
    "fin": ("kirjassa", "kirjasta", "mikä"),
    "fra": ("chevaux", "cheval", "quelles"),
    "hun": ("házak", "házban", "melyik"),
    "ita": ("biblioteche", "biblioteca", "quale"),
    "nld": ("boeken", "boek", "waarom"),
    "nob": ("husene", "huset", "hvorfor"),
    "por": ("bibliotecas", "biblioteca", "quais"),
    "ron": ("bibliotecile", "biblioteci", "când"),
    "rus": ("книгами", "книга", "который"),
    "spa": ("bibliotecas", "biblioteca", "cuáles"),
    "swe": ("flickorna", "flickor", "för"),
    "tur": ("kitaplar", "kitap", "hangi"),
}


def terms(text: str, language: str | None) -> set[int]:
    return set(sparse([text], KEY, [language])[0].indices.tolist())


def weights(vector: SparseVector) -> dict[int, float]:
    return dict(zip(vector.indices.tolist(), vector.values.tolist(), strict=True))


def score(query: SparseVector, text: str, language: str | None) -> float:
    """The inner product, without IDF."""
    asked, (found,) = weights(query), sparse([text], KEY, [language])
    return sum(asked.get(term, 0.0) * value for term, value in weights(found).items())


def test_every_stemmer_has_stop_words_and_an_example() -> None:
    assert STEMMERS.keys() == STOPWORDS.keys() == FORMS.keys()
    assert all(word == word.casefold() for listed in STOPWORDS.values() for word in listed)


@pytest.mark.parametrize("language", FORMS)
def test_forms_of_a_word_share_a_term_and_stop_words_have_none(language: str) -> None:
    one, other, stop_word = FORMS[language]
    assert terms(one, language) & terms(other, language)
    assert terms(stop_word, language) == set()
    assert terms(f"{one} {stop_word}", language) == terms(one, language)


def test_terms_of_english_are_hashes_of_stems_as_ever() -> None:
    assert terms("Libraries", "eng") == terms("libraries", None) == {encryption.token_hash(KEY, "librari")}
    assert weights(sparse_query("the libraries", KEY)) == {encryption.token_hash(KEY, "librari"): 1.0}


@pytest.mark.parametrize("language", ["cmn", "jpn", "pol", "vie", "xxx"])
def test_a_language_without_a_stemmer_is_analysed_as_before(language: str) -> None:
    text = "数据库 databases żółw"
    assert terms(text, language) == terms(text, None)
    np.testing.assert_array_equal(sparse_query(text, KEY, [language]).indices, sparse_query(text, KEY).indices)


def test_equal_stems_of_two_languages_are_different_terms() -> None:
    assert terms("Gift", "deu").isdisjoint(terms("gift", "eng"))
    assert terms("Gift", "deu").isdisjoint(terms("gift", "swe"))


def test_a_question_finds_passages_of_every_language_of_the_collection() -> None:
    query = sparse_query("Schröder Häuser", KEY, ["deu", "eng"])
    assert score(query, "Das Haus von Schröder", "deu") > score(query, "Das Haus", "deu") > 0
    assert score(query, "Schröder was chancellor", "eng") > 0
    assert score(query, "Schröders Häuser", None) > 0  # a point of an older release


def test_a_question_in_one_language_prefers_it() -> None:
    languages = ["deu", "eng", "fra"]
    german = sparse_query("In welchem Jahr wurde die Bibliothek in Rom gebaut?", KEY, languages)
    assert score(german, "Rom", "deu") == pytest.approx(score(german, "Rom", "fra") / OTHER_LANGUAGE)
    english = sparse_query("When was the library in Rom built?", KEY, languages)
    assert score(english, "Rom", "eng") == pytest.approx(score(english, "Rom", "deu") / OTHER_LANGUAGE)


def test_function_words_of_the_question_do_not_match_content_of_another_language() -> None:
    query = sparse_query("Warum war die Bibliothek geschlossen?", KEY, ["deu", "eng"])
    assert score(query, "people die in a war", "eng") == 0
    assert score(query, "Bibliothek", "eng") > 0


def test_one_foreign_stop_word_proves_nothing() -> None:
    """The German word for "was" is "war"."""
    query = sparse_query("world war casualties", KEY, ["deu", "eng"])
    assert score(query, "war", "eng") == score(query, "world", "eng") > 0


def test_an_english_collection_is_asked_as_before() -> None:
    for question in ("what does the wing do", "was ist das", "naïve café", "the of", ""):
        before, now = sparse_query(question, KEY), sparse_query(question, KEY, ["eng", "cmn"])
        np.testing.assert_array_equal(before.indices, now.indices)
        np.testing.assert_array_equal(before.values, now.values)


@pytest.mark.parametrize(
    ("language", "spelled", "plain"),
    [("fra", "garçon", "garcon"), ("spa", "corazón", "corazon"), ("ron", "țară", "tara")],
)
def test_accents_are_folded_in_every_language(language: str, spelled: str, plain: str) -> None:
    for asked, text in ((spelled, plain), (plain, spelled), (spelled, spelled)):
        assert score(sparse_query(asked, KEY, [language]), text, language) > 0
    exact = sparse_query(spelled, KEY, [language])
    assert score(exact, spelled, language) >= score(exact, plain, language)


def test_vowel_marks_of_arabic_do_not_split_words() -> None:
    assert terms("كِتَابٌ", "ara") == terms("كتاب", "ara") and len(terms("كِتَابٌ", "ara")) == 1


GERMAN = "Die Grenzschicht wächst entlang der Tragfläche, und die Strömung löst sich an der Hinterkante ab."


@pytest.mark.parametrize(
    ("detected", "text", "expected"),
    [
        ("deu", GERMAN, "deu"),
        ("fra", GERMAN, None),
        ("eng", "anything", "eng"),
        (None, GERMAN, None),
        ("deu", "Grenzschicht Tragfläche Strömung Hinterkante", None),
        ("jav", "Kaya is a small town in the north of the island", None),
        ("pol", "Warstwa przyścienna rośnie wzdłuż skrzydła", "pol"),
        ("cmn", "这是一个向量数据库。", "cmn"),
        ("deu", "", None),
    ],
)
def test_a_detected_language_counts_if_its_words_confirm_it(
    detected: str | None, text: str, expected: str | None
) -> None:
    assert confirmed(detected, text) == expected
