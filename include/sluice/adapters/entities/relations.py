"""Relations between named entities: how the sentence that holds both connects them, by rules on spaCy's parse.

A connection is written `left root right`: the dependencies from the ancestor that both share down to either mention,
with prepositions named; the root's lemma stands between them where neither mention is the ancestor itself.
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
"""(kind, connection, kind) → relations, `~` from the second to the first."""

COARSE = {"PERSON": "PER", "ORG": "ORG", "GPE": "LOC", "LOC": "LOC", "NORP": "LOC", "FAC": "LOC"}
"""OntoNotes kinds as the rules name them; an entity of another kind has no relation."""
_LONGEST_PATH = 4  # dependencies
_CELL = "|"  # between cells, in tables as they are extracted
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
    """One mention: tokens [start, end) of an entity, by whatever tells it from others."""

    start: int
    end: int
    entity: Entity
    kind: str  # PER, ORG, LOC, …


def typed(doc: Doc, names: Iterable[Named[Entity]], rules: Rules = RULES) -> Iterator[tuple[Entity, str, Entity]]:
    """(head, relation, tail): what the rules say of the document's sentences, the same as often as it is said."""
    for one, connection, other in connections(doc, names):
        for relation in rules.get((one.kind, connection, other.kind), ()):
            if relation.startswith("~"):
                yield other.entity, relation[1:], one.entity
            else:
                yield one.entity, relation, other.entity


def connections(doc: Doc, names: Iterable[Named[Entity]]) -> Iterator[tuple[Named[Entity], str, Named[Entity]]]:
    """Each ordered pair of mentions of different entities in one sentence, where the way between them is short.

    Not across cells of a table: the parser takes a row for a sentence, too."""
    mentions = list(names)
    for sentence in doc.sents:
        here = [each for each in mentions if sentence.start <= each.start < sentence.end]
        for one, other in permutations(here, 2):
            if one.entity != other.entity and _CELL not in _between(doc, one, other):
                way = _way(doc[one.start : one.end].root, doc[other.start : other.end].root)
                if way:
                    yield one, way, other


def _between(doc: Doc, one: Named[Any], other: Named[Any]) -> str:
    return doc[min(one.end, other.end) : max(one.start, other.start)].text_with_ws


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
