"""Candidates for relations between named entities: how the sentence that holds both connects them.

A connection is written `left root right`: the dependencies from the ancestor that both share down to either mention,
with prepositions named; the root's lemma stands between them where neither mention is the ancestor itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import permutations
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from spacy.tokens import Doc, Token

Triple = tuple[int, str, int]
"""(head entity, relation, tail entity); relations by their number at Wikidata."""

_LONGEST_PATH = 4  # dependencies
_NAMED = frozenset({"prep", "agent"})
# (kind, connection, kind) → relations, `~` from the second to the first. Written with the first half of the documents
# in view.
RULES: dict[tuple[str, str, str], tuple[str, ...]] = {
    ("PER", "nsubj be attr>amod", "LOC"): ("P27",),  # X is a German racer
    ("PER", "nsubj be attr>compound", "LOC"): ("P27",),
    ("LOC", "compound>amod", "PER"): ("~P27",),  # the German racer X
    ("LOC", "amod", "PER"): ("~P27",),
    ("PER", "appos>amod", "LOC"): ("P27",),  # X, a German racer
    ("PER", "nsubjpass bear prep:in>pobj", "LOC"): ("P19",),
    ("LOC", "/appos", "LOC"): ("P131",),  # Vancouver, British Columbia
    ("LOC", "/appos>appos", "LOC"): ("P131",),
    ("LOC", "/prep:in>pobj", "LOC"): ("P131",),
    ("ORG", "/prep:in>pobj", "LOC"): ("P131",),
    ("LOC", "nsubj be attr>prep:in>pobj", "LOC"): ("P131",),
    ("LOC", "nsubjpass locate prep:in>pobj", "LOC"): ("P131",),
    ("LOC", "compound state prep:of>pobj", "LOC"): ("P150", "~P131"),  # the US state of X
    ("MISC", "nsubj be attr>prep:by>pobj", "PER"): ("~P800", "P175"),  # X is a song by Y
    ("MISC", "nsubj be attr>prep:by>pobj", "ORG"): ("~P800", "P175"),
    ("MISC", "nsubj be attr>amod", "LOC"): ("P495",),  # X is a Japanese film
}
# What kind of connection it is, by the first that fits.
SHAPES: tuple[tuple[str, Callable[[str], bool]], ...] = (
    ("copula", lambda text: " be attr" in text),
    ("subject and object", lambda text: text.startswith("nsubj ") and text.endswith(" dobj")),
    ("passive with preposition", lambda text: text.startswith("nsubjpass ") and "pobj" in text),
    ("apposition", lambda text: "appos" in text),
    ("preposition of, in or by", lambda text: text in {f"/{each}>pobj" for each in ("prep:of", "prep:in", "prep:by")}),
    ("modifier or possessive", lambda text: text in {"amod", "compound", "poss", "compound>amod"}),
    ("coordination", lambda text: "conj" in text),
)


class Named(NamedTuple):
    """One mention: tokens [start, end) of entity number `entity`."""

    start: int
    end: int
    entity: int
    kind: str  # PER, ORG, LOC, MISC


def links(doc: Doc, names: Sequence[Named]) -> dict[str, set[frozenset[int]]]:
    """Pairs of entities that a sentence connects, by shape."""
    found: defaultdict[str, set[frozenset[int]]] = defaultdict(set)
    for one, connection, other in connections(doc, names):
        shape = next((name for name, fits in SHAPES if fits(connection)), None)
        if shape:
            found[shape].add(frozenset((one.entity, other.entity)))
    return found


def typed(doc: Doc, names: Sequence[Named]) -> Iterator[Triple]:
    """What the rules say of the document's sentences; the same triple as often as it is said."""
    for one, connection, other in connections(doc, names):
        for relation in RULES.get((one.kind, connection, other.kind), ()):
            if relation.startswith("~"):
                yield other.entity, relation[1:], one.entity
            else:
                yield one.entity, relation, other.entity


def connections(doc: Doc, names: Iterable[Named]) -> Iterator[tuple[Named, str, Named]]:
    """Each ordered pair of mentions of different entities in one sentence, where the way between them is short."""
    mentions = list(names)
    for sentence in doc.sents:
        here = [each for each in mentions if sentence.start <= each.start < sentence.end]
        for one, other in permutations(here, 2):
            if one.entity != other.entity:
                way = _way(doc[one.start : one.end].root, doc[other.start : other.end].root)
                if way:
                    yield one, way, other


def _way(one: Token, other: Token) -> str:
    """Empty where it is too long."""
    up, down = [one, *one.ancestors], [other, *other.ancestors]
    places = {token.i: place for place, token in enumerate(down)}
    for steps, token in enumerate(up):
        if token.i in places:
            left, right = up[:steps][::-1], down[: places[token.i]][::-1]
            if len(left) + len(right) > _LONGEST_PATH:
                return ""
            if not left:
                return "/" + _names(right)  # from the ancestor down
            return f"{_names(left)} {token.lemma_} {_names(right)}" if right else _names(left)
    return ""


def _names(tokens: Sequence[Token]) -> str:
    return ">".join(f"{each.dep_}:{each.lower_}" if each.dep_ in _NAMED else each.dep_ for each in tokens)
