"""A folder in several languages: each document's language is stored and reported, and its words are found by their
forms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from sluice.model.generation import Generation
from sluice.model.grants import ALL_GROUPS, Principal
from sluice.model.search import SearchRequest
from sluice.model.source import SourceSpec
from sluice.pipeline.requests import IngestRequest
from sluice.wiring.application import Sluice

MakeTools = Callable[..., Sluice]
TEXTS = {
    "wing.md": "The boundary layer grows along the wing, and the flow separates where the pressure rises too much.",
    "stadt.md": "Die alten Häuser der Stadt wurden im Krieg zerstört, und man hat sie danach nicht wieder aufgebaut.",
    "recht.md": "Das Gericht entschied, dass die Verträge nicht gültig waren, weil der Käufer davon nichts wusste.",
    "kitab.md": "تنمو الطبقة الحدية على طول الجناح وينفصل الجريان عن السطح عندما يرتفع الضغط في الاتجاه المعاكس.",
    "ceng.md": "边界层沿着机翼增长，当压力升高过多时，气流就会从表面分离。这是空气动力学的一个基本问题。",
    "short.md": "Nr. 4711",
}
_FORGET = """
    UPDATE versions SET language = NULL
    WHERE collection_id = (SELECT collection_id FROM collections WHERE name = :name)
"""
LANGUAGES = {"ara": 1, "cmn": 1, "deu": 2, "eng": 1}


@pytest.fixture
def sluice(make_sluice: MakeTools, tmp_path: Path) -> Sluice:
    return make_sluice([tmp_path], graph="off")


@pytest.fixture
def spec(tmp_path: Path, name: str) -> SourceSpec:
    for file, content in TEXTS.items():
        (tmp_path / file).write_text(content, encoding="utf-8")
    return SourceSpec(tmp_path.as_uri(), name, name)


def generation_of(sluice: Sluice, name: str) -> Generation:
    return next(each for each in sluice.ledger.collections.generations() if each.collection == name)


def found(sluice: Sluice, name: str, question: str) -> list[str]:
    request = SearchRequest(question, name, 1, retrievers=("sparse",))
    outcome = sluice.search(request, Principal("test", name, frozenset({ALL_GROUPS})))
    return [each.external_id for each in outcome.passages]


def test_languages_are_counted_reported_and_searched(sluice: Sluice, spec: SourceSpec, name: str) -> None:
    summary = sluice.ingestion.ingest(IngestRequest(spec))
    assert summary.languages == LANGUAGES
    assert any("German 2, " in line for line in summary.lines())
    generation = generation_of(sluice, name)
    assert generation.languages == tuple(sorted(LANGUAGES))
    assert sluice.ledger.collections.counts(generation).languages == LANGUAGES
    assert sluice.ledger.collections.counts(generation, "another").languages == {}
    (info,) = sluice.catalog.collections(Principal("test", name, frozenset({ALL_GROUPS})))
    assert (info.documents, info.languages) == (len(TEXTS), LANGUAGES)
    # Another form of each word, by the stems of its language.
    assert found(sluice, name, "Hauses") == ["stadt.md"]
    assert found(sluice, name, "Gerichte") == ["recht.md"]
    assert found(sluice, name, "جناح") == ["kitab.md"]
    assert found(sluice, name, "机翼") == ["ceng.md"]
    assert found(sluice, name, "wings") == ["wing.md"]
    assert found(sluice, name, "4711") == ["short.md"]


def test_lost_points_are_rebuilt_in_the_stored_language(sluice: Sluice, spec: SourceSpec, name: str) -> None:
    sluice.ingestion.ingest(IngestRequest(spec))
    generation = generation_of(sluice, name)
    assert sluice.reconciliation.reconcile(collection=name, deep=True).ok
    chunks = sluice.ledger.reconciliation.chunks_after(generation, None, 100)
    assert {each.language for each in chunks} == {*LANGUAGES, None}
    sluice.vectors.delete(generation, [each.chunk_id for each in chunks])
    assert sluice.reconciliation.reconcile(collection=name, repair=True).missing == len(chunks)
    assert sluice.reconciliation.reconcile(collection=name, deep=True).ok
    assert found(sluice, name, "Hauses") == ["stadt.md"]


def test_a_version_of_an_older_release_is_found_as_before(sluice: Sluice, spec: SourceSpec, name: str) -> None:
    """It has no language, so its terms are English's, now and when they are rebuilt; nothing detects it again."""
    sluice.ingestion.ingest(IngestRequest(spec))
    _forget_languages(sluice, name)
    assert sluice.reconciliation.reconcile(collection=name, deep=True).stale == 3  # German twice, Arabic
    assert sluice.reconciliation.reconcile(collection=name, deep=True, repair=True).repaired == 3
    assert sluice.reconciliation.reconcile(collection=name, deep=True).ok
    assert found(sluice, name, "Häuser") == ["stadt.md"]
    assert found(sluice, name, "Hauses") == []
    _forget_languages(sluice, name, "UPDATE generations SET languages = '{}' WHERE physical LIKE :name || '\\_\\_g%'")
    assert found(sluice, name, "Häuser") == ["stadt.md"]
    assert sluice.ingestion.ingest(IngestRequest(spec, mode="full")).languages == LANGUAGES
    assert found(sluice, name, "Hauses") == ["stadt.md"]


def test_an_embedder_of_english_is_warned_about(
    make_sluice: MakeTools, tmp_path: Path, spec: SourceSpec, name: str
) -> None:
    sluice = make_sluice([tmp_path], graph="off", embedder="minilm")
    summary = sluice.ingestion.ingest(IngestRequest(spec))
    assert summary.language_warning is not None and "4 of 5 documents" in summary.language_warning
    assert summary.lines()[-1] == f"Warning: {summary.language_warning}"
    assert summary.to_json()["language_warning"] == summary.language_warning


def _forget_languages(sluice: Sluice, name: str, statement: str = _FORGET) -> None:
    engine = create_engine(sluice.settings.database_url.get_secret_value())
    with engine.begin() as connection:
        connection.execute(text(statement), {"name": name})
    engine.dispose()
