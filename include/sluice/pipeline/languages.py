"""Detects the languages of documents. A version's language is stored: a later release may detect another one, and its
sparse vectors must be rebuilt as they were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sluice.embedding.analysis import confirmed
from sluice.model.document import Document
from sluice.quality.language import language, sample


def with_languages(documents: Sequence[Document]) -> list[Document]:
    """Returns the documents with their languages; None where the detector is not sure, or the words do not confirm
    it."""
    return [replace(each, language=confirmed(language(each.text), sample(each.text))) for each in documents]
