"""Candidates for relations between named entities: the rules of the product, and others that were tried."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from sluice.adapters.entities.relations import RULES, Named, Rules, connections
from sluice.adapters.entities.relations import typed as by_rules

if TYPE_CHECKING:
    from spacy.tokens import Doc

Triple = tuple[int, str, int]
"""(head entity, relation, tail entity)"""
WIKIDATA = {"citizen_of": "P27", "located_in": "P131"}
"""The product's relations as the labelled set numbers them."""
# Written with the first half of the documents, as the rules of the product were.
TRIED: Rules = {
    ("PER", "nsubjpass bear prep:in>pobj", "LOC"): ("P19",),
    ("LOC", "compound state prep:of>pobj", "LOC"): ("P150",),  # the US state of X
    ("MISC", "nsubj be attr>prep:by>pobj", "PER"): ("~P800", "P175"),  # X is a song by Y
    ("MISC", "nsubj be attr>prep:by>pobj", "ORG"): ("~P800", "P175"),
    ("MISC", "nsubj be attr>amod", "LOC"): ("P495",),  # X is a Japanese film
}
_ALL: Rules = {key: (*RULES.get(key, ()), *TRIED.get(key, ())) for key in {**RULES, **TRIED}}
# The kind of the connection; the first that matches counts.
SHAPES: tuple[tuple[str, Callable[[str], bool]], ...] = (
    ("copula", lambda text: " be attr" in text),
    ("subject and object", lambda text: text.startswith("nsubj ") and text.endswith(" dobj")),
    ("passive with preposition", lambda text: text.startswith("nsubjpass ") and "pobj" in text),
    ("apposition", lambda text: "appos" in text),
    ("preposition of, in or by", lambda text: text in {f"/{each}>pobj" for each in ("prep:of", "prep:in", "prep:by")}),
    ("modifier or possessive", lambda text: text in {"amod", "compound", "poss", "compound>amod"}),
    ("coordination", lambda text: "conj" in text),
)


def links(doc: Doc, names: Sequence[Named[int]]) -> dict[str, set[frozenset[int]]]:
    """Returns pairs of entities that a sentence connects, by shape."""
    result: defaultdict[str, set[frozenset[int]]] = defaultdict(set)
    for one, connection, other in connections(doc, names):
        shape = next((name for name, fits in SHAPES if fits(connection)), None)
        if shape:
            result[shape].add(frozenset((one.entity, other.entity)))
    return result


def typed(doc: Doc, names: Sequence[Named[int]]) -> Iterator[Triple]:
    """Returns the relations that all rules find, the product's and the others, by their number in Wikidata."""
    for head, relation, tail in by_rules(doc, names, _ALL):
        yield head, WIKIDATA.get(relation, relation), tail
