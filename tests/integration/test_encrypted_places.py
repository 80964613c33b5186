"""Encrypted values in the stores are bound to their place, and those of release 0.2 still open."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from sluice.model.gates import GateRule
from sluice.model.grants import ALL_GROUPS, Principal
from sluice.model.search import SearchRequest
from sluice.model.source import SourceSpec
from sluice.pipeline import quarantine
from sluice.pipeline.requests import IngestRequest
from sluice.wiring.application import Sluice
from support.engines import EngineStack
from support.ledger_rows import engine_of
from support.old_cipher import OldCipher

WHO = Principal("reader", "default", frozenset({ALL_GROUPS}))
OWLS = "# Owls\n\nThe barn owl hunts voles above wet meadows at dusk.\n"
TWO = "# Waders\n\n" + "The curlew probes mudflats. " * 60 + "\n\n# Terns\n\n" + "The tern dives for sand eels. " * 60


def result(sluice: Sluice, collection: str, question: str) -> list[str]:
    return [each.text for each in sluice.search(SearchRequest(question, collection, 50, duplicates=True), WHO).passages]


@pytest.fixture
def old(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """What is written until it is undone has the form of release 0.2."""
    for name in ("sluice.indexing.loading.ciphers", "sluice.pipeline.quarantine.ciphers"):
        monkeypatch.setattr(
            name, lambda tenant, keys: {each: OldCipher(key, tenant, each) for each, key in keys.items()}
        )
    return monkeypatch


def test_content_of_release_0_2_is_searched_rebuilt_and_replayed(
    make_sluice: Callable[..., Sluice], tmp_path: Path, name: str, old: pytest.MonkeyPatch
) -> None:
    sluice = make_sluice([tmp_path], graph="off")
    (tmp_path / "owls.md").write_text(OWLS)
    spec = SourceSpec(tmp_path.as_uri(), name)
    sluice.ingestion.ingest(IngestRequest(spec))
    generation = next(each for each in sluice.ledger.collections.generations() if each.collection == name)
    sluice.ledger.quality.set_rule(generation, "documents", "too_long", GateRule("block", 200))
    (tmp_path / "waders.md").write_text(TWO)
    sluice.ingestion.ingest(IngestRequest(spec))
    (refused,) = sluice.catalog.quarantine_records(WHO, name, limit=9)
    assert sluice.blobs.read(quarantine.path(refused.document_id))[:1] == b"\x01"
    old.undo()

    assert any("barn owl" in each for each in result(sluice, name, "barn owl"))
    sluice.vectors.delete(
        generation, [each.chunk_id for each in sluice.ledger.reconciliation.chunks_after(generation, None, 9)]
    )
    sluice.reconciliation.reconcile(collection=name, repair=True)
    assert any("barn owl" in each for each in result(sluice, name, "barn owl"))
    sluice.ledger.quality.set_rule(generation, "documents", "too_long", None)
    assert sluice.ingestion.ingest(IngestRequest(spec, replay=())).documents.new == 1
    assert any("curlew" in each for each in result(sluice, name, "curlew"))


def test_chunks_whose_ciphertexts_were_swapped_are_not_served(
    make_sluice: Callable[..., Sluice], tmp_path: Path, name: str, stack: EngineStack
) -> None:
    sluice = make_sluice([tmp_path], graph="off")
    (tmp_path / "waders.md").write_text(TWO)
    sluice.ingestion.ingest(IngestRequest(SourceSpec(tmp_path.as_uri(), name)))
    before = result(sluice, name, "curlew or tern")
    swapped = text("""
        WITH own AS (
            SELECT c.version_id, c.chunk_id, c.sealed_text, c.ordinal FROM chunks c
            JOIN versions v ON v.version_id = c.version_id JOIN documents d ON d.document_id = v.document_id
            JOIN sources s ON s.source_id = d.source_id WHERE s.uri = :uri AND c.ordinal < 2
        )
        UPDATE chunks c SET sealed_text = other.sealed_text FROM own, own AS other
        WHERE c.version_id = own.version_id AND c.chunk_id = own.chunk_id AND other.ordinal = 1 - own.ordinal
    """)
    with engine_of(stack.environment["SLUICE_DATABASE_OWNER_URL"]).begin() as connection:
        assert connection.execute(swapped, {"uri": tmp_path.as_uri()}).rowcount == 2
    assert len(result(sluice, name, "curlew or tern")) == len(before) - 2
