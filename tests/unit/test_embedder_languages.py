"""Which languages an embedder represents, and when a collection is warned about."""

from __future__ import annotations

from uuid import uuid4

import pytest

from sluice.model.document import Document
from sluice.model.languages import in_words, language_warning
from sluice.model.scan import ListingEntry, WorkItem
from sluice.pipeline.languages import with_languages

TEXTS = {
    "eng": "The boundary layer grows along the wing, and the flow separates where the pressure rises too much.",
    "deu": "Die Grenzschicht wächst entlang der Tragfläche, und die Strömung löst sich ab, wenn der Druck steigt.",
    "fra": "La couche limite croît le long de l'aile, et l'écoulement se décolle quand la pression augmente trop.",
    "ara": "تنمو الطبقة الحدية على طول الجناح وينفصل الجريان عن السطح عندما يرتفع الضغط في الاتجاه المعاكس.",
    "cmn": "边界层沿着机翼增长，当压力升高过多时，气流就会从表面分离。这是空气动力学的一个基本问题。",
    "rus": "Пограничный слой растёт вдоль крыла, и поток отрывается от поверхности, когда давление слишком велико.",
}


def _document(text: str) -> Document:
    return Document(WorkItem(uuid4(), ListingEntry("", "", "", 0), new=True), "text/plain", "", text, b"")


def test_languages_are_detected() -> None:
    found = with_languages([_document(text) for text in (*TEXTS.values(), "x", "12345 67890")])
    assert [each.language for each in found] == [*TEXTS, None, None]


@pytest.mark.parametrize("embedder", ["minilm", "bge-small", "wordllama"])
def test_a_tenth_of_foreign_documents_is_a_warning(embedder: str) -> None:
    assert language_warning(embedder, {"eng": 91, "deu": 9}) is None
    warning = language_warning(embedder, {"eng": 90, "cmn": 4, "deu": 6})
    assert warning is not None
    assert "10 of 100 documents" in warning and "German 6, Chinese 4" in warning and "SLUICE_EMBEDDER=" in warning


@pytest.mark.parametrize("embedder", ["openai:any", "hash:64"])
def test_of_other_embedders_nothing_is_known(embedder: str) -> None:
    assert language_warning(embedder, {"deu": 9}) is None


def test_no_document_no_warning() -> None:
    assert language_warning("minilm", {}) is None
    assert in_words({}) == ""
    assert in_words({"deu": 2, "eng": 1200, "xyz": 2}) == "English 1,200, German 2, xyz 2"
