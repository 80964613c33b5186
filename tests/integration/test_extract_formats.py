"""Real documents of many programs: each one gives text or a reason, none brings the run down.

The documents are found through SLUICE_TEST_DATA, the folder that holds `formats/`.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from sluice.chunking.chunker import chunk
from sluice.model.document import Document, FetchedDocument
from sluice.model.reasons import REASONS
from sluice.model.scan import WorkItem
from sluice.model.source import SourceSpec
from sluice.parsing.extractor import IsolatedExtractor
from sluice.ports.content import Extracted
from sluice.sources.schemes import reader_for

FOLDER = Path(os.environ.get("SLUICE_TEST_DATA", "/nowhere")).resolve() / "formats"

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="no documents: set SLUICE_TEST_DATA to their folder")


@pytest.fixture(scope="module")
def raws() -> list[FetchedDocument]:
    reader = reader_for(SourceSpec(FOLDER.as_uri(), "formats"), roots=(FOLDER,), max_bytes=100_000_000)
    return [reader.read(WorkItem(uuid4(), entry, new=True)) for entry in reader.scan()]


@pytest.fixture(scope="module")
def results(raws: list[FetchedDocument]) -> list[Extracted]:
    started = time.monotonic()
    limits: dict[str, Any] = {
        "timeout_s": 60.0,
        "memory_mb": 2048,
        "max_text_chars": 5_000_000,
        "max_bytes": 100_000_000,
    }
    with IsolatedExtractor(workers=2, **limits) as extractor:
        result = extractor.extract(raws)
    seconds = time.monotonic() - started
    print(
        f"{len(result)} documents, {seconds:.2f} s:",
        Counter(each.failure[0] if each.failure else "text" for each in result),
    )
    return result


def test_every_document_gives_text_or_a_reason(raws: list[FetchedDocument], results: list[Extracted]) -> None:
    assert len(raws) == len(results) > 300
    for raw, result in zip(raws, results, strict=True):
        name = raw.item.entry.external_id
        if result.failure:
            assert result.failure[1].startswith(REASONS[result.failure[0]]), name
            assert result.failure[0] not in ("crashed", "timeout", "out_of_memory"), name
        else:
            assert result.text.strip() and "\0" not in result.text, name
            result.text.encode("utf-8")
            assert list(result.page_starts) == sorted(result.page_starts), name


def test_few_are_refused(results: list[Extracted]) -> None:
    counts = Counter(result.failure[0] for result in results if result.failure)
    assert counts["encrypted"] >= 1 and counts["archive"] == 2
    assert sum(counts.values()) < 0.05 * len(results)


def test_office_text_is_that_of_the_reference(raws: list[FetchedDocument], results: list[Extracted]) -> None:
    """Nine words in ten of each reference conversion are found."""
    texts = {raw.item.entry.external_id: result for raw, result in zip(raws, results, strict=True)}
    shares = []
    for name, result in texts.items():
        reference = texts.get(name.replace("/sources/", "/groundtruth/") + ".md")
        if "/sources/" in name and name.endswith((".docx", ".html", ".xlsx")) and reference and not result.failure:
            expected = set(reference.text.lower().split())
            shares.append(len(expected & set(result.text.lower().split())) / max(1, len(expected)))
    assert len(shares) > 40
    assert sum(shares) / len(shares) > 0.75


@pytest.mark.parametrize("profile", ["chars:600:100", "chars:200:0"])
def test_every_chunk_is_found_where_it_says(
    raws: list[FetchedDocument], results: list[Extracted], profile: str
) -> None:
    """Offsets and pages, over all documents; and no word is in no chunk."""
    documents = [
        Document(raw.item, result.mime, result.title or "", result.text, b"", {}, result.page_starts)
        for raw, result in zip(raws, results, strict=True)
        if not result.failure
    ]
    chunks = 0
    for cut in chunk(documents, profile=profile, index_key=b"k" * 32):
        text, starts, end = cut.document.text, cut.document.page_starts, 0
        for each in cut.chunks:
            assert each.text == text[each.start : each.end]
            assert not any(char.isalnum() for char in text[end : each.start])
            if not starts:
                assert each.page is None
            else:
                assert each.page is not None
                assert starts[each.page - 1] <= each.start or each.page == 1
            end = max(end, each.end)
            chunks += 1
        assert not any(char.isalnum() for char in text[end:])
    assert chunks > len(documents)


def test_what_reference_markdown_has_is_kept(raws: list[FetchedDocument], results: list[Extracted]) -> None:
    """The measure of `python -m bench formats`, with room for a converter's tastes."""
    from bench.formats import cells, overlap, pairs_in, token_f1

    texts = {raw.item.entry.uri: result.text for raw, result in zip(raws, results, strict=True)}
    scores, common, expected = [], 0, 0
    for source, reference in pairs_in(FOLDER / "docling"):
        text, wanted = texts[source.as_uri()], reference.read_text("utf-8")
        scores.append(token_f1(text, wanted))
        counts = overlap(cells(text), cells(wanted))
        common, expected = common + counts[0], expected + counts[2]
    assert len(scores) > 120
    assert sum(scores) / len(scores) > 0.93
    assert common > 0.75 * expected
