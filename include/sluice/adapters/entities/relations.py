"""Relations between named entities in one sentence, by rules on spaCy's dependency parse.

A connection is written `left root right`: the dependencies from the common ancestor down to each mention, with
prepositions named. The root's lemma is between them unless one mention is the ancestor itself.
Only relations that reach a precision of .5 on labelled text are here (docs/decisions/0027).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import permutations
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from spacy.tokens import Doc, Token

Entity = TypeVar("Entity")
Rules = Mapping[tuple[str, str, str], tuple[str, ...]]
"""(kind, connection, kind) → relations; `~` marks one from the second entity to the first."""

COARSE = {"PERSON": "PER", "ORG": "ORG", "GPE": "LOC", "LOC": "LOC", "NORP": "LOC", "FAC": "LOC"}
"""OntoNotes kind → kind in the rules; entities of other kinds have no relations."""
_LONGEST_PATH = 4  # dependencies
_CELL = "|"  # separates the cells of extracted tables
_NAMED = frozenset({"prep", "agent"})
RULES: Rules = {
    ("PER", "nsubj be attr>amod", "LOC"): ("citizen_of",),  # X is a German racer
    ("PER", "nsubj be attr>compound", "LOC"): ("citizen_of",),
    ("LOC", "compound>amod", "PER"): ("~citizen_of",),  # the German racer X
    ("LOC", "amod", "PER"): ("~citizen_of",),
    ("PER", "appos>amod", "LOC"): ("citizen_of",),  # X, a German racer
    ("LOC", "/appos", "LOC"): ("located_in",),  # Vancouver, British Columbia
    ("LOC", "/appos>appos", "LOC"): ("located_in",),
    ("LOC", "/prep:in>pobj", "LOC"): ("located_in",),
    ("ORG", "/prep:in>pobj", "LOC"): ("located_in",),
    ("LOC", "nsubj be attr>prep:in>pobj", "LOC"): ("located_in",),
    ("LOC", "nsubjpass locate prep:in>pobj", "LOC"): ("located_in",),
    ("LOC", "compound state prep:of>pobj", "LOC"): ("~located_in",),  # the US state of X
}


class Named(NamedTuple, Generic[Entity]):
    """One mention: tokens [start, end) of an entity. `entity`: any value that identifies it."""

    start: int
    end: int
    entity: Entity
    kind: str  # PER, ORG, LOC, …


def typed(doc: Doc, names: Iterable[Named[Entity]], rules: Rules = RULES) -> Iterator[tuple[Entity, str, Entity]]:
    """Yields (head, relation, tail) for each match of a rule in the document's sentences, repetitions included."""
    for one, connection, other in connections(doc, names):
        for relation in rules.get((one.kind, connection, other.kind), ()):
            if relation.startswith("~"):
                yield other.entity, relation[1:], one.entity
            else:
                yield one.entity, relation, other.entity


def connections(doc: Doc, names: Iterable[Named[Entity]]) -> Iterator[tuple[Named[Entity], str, Named[Entity]]]:
    """Yields ordered pairs of mentions of different entities in one sentence, with the dependency path between them, if
    it is short.

    Pairs in different cells of a table are left out: the parser treats a row as a sentence."""
    mentions = list(names)
    for sentence in doc.sents:
        here = [each for each in mentions if sentence.start <= each.start < sentence.end]
        for one, other in permutations(here, 2):
            if one.entity != other.entity and _CELL not in _between(doc, one, other):
                path = _path(doc[one.start : one.end].root, doc[other.start : other.end].root)
                if path:
                    yield one, path, other


def _between(doc: Doc, one: Named[Any], other: Named[Any]) -> str:
    return doc[min(one.end, other.end) : max(one.start, other.start)].text_with_ws


def _path(one: Token, other: Token) -> str:
    """Returns the dependency path between two tokens; empty if it is too long."""
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
