"""The rules that `bench/relations.py` measures say what a sentence says, and in which direction."""

from __future__ import annotations

import pytest
import spacy
from bench.relation_rules import links, typed
from bench.relations import PIPELINE

from sluice.adapters.entities.relations import Named


@pytest.fixture(scope="module")
def nlp() -> spacy.language.Language:
    return spacy.load(PIPELINE)


@pytest.mark.parametrize(
    ("sentence", "names", "said"),
    [
        ("Maria is a German racer .", {"Maria": "PER", "German": "LOC"}, {("Maria", "P27", "German")}),
        (
            "The German composer Beethoven wrote it .",
            {"German": "LOC", "Beethoven": "PER"},
            {("Beethoven", "P27", "German")},
        ),
        ("She lives in Vancouver , Canada .", {"Vancouver": "LOC", "Canada": "LOC"}, {("Vancouver", "P131", "Canada")}),
        ("Maria was born in Turin .", {"Maria": "PER", "Turin": "LOC"}, {("Maria", "P19", "Turin")}),
        ("Maria met Anna and Peter in Turin .", {"Maria": "PER", "Anna": "PER", "Turin": "LOC"}, set()),
    ],
)
def test_typed(
    nlp: spacy.language.Language, sentence: str, names: dict[str, str], said: set[tuple[str, str, str]]
) -> None:
    words = sentence.split()
    doc = nlp(spacy.tokens.Doc(nlp.vocab, words=words))
    places = {name: words.index(name) for name in names}
    mentions = [Named(at, at + 1, at, names[name]) for name, at in places.items()]
    assert {(words[head], relation, words[tail]) for head, relation, tail in typed(doc, mentions)} == said


def test_shapes_are_told_apart(nlp: spacy.language.Language) -> None:
    words = ["Maria", "met", "Anna", "and", "Peter", "."]
    doc = nlp(spacy.tokens.Doc(nlp.vocab, words=words))
    result = links(doc, [Named(at, at + 1, at, "PER") for at in (0, 2, 4)])
    assert result["subject and object"] == {frozenset((0, 2))}
    assert frozenset((2, 4)) in result["coordination"]
