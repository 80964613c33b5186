"""Real documents of many programs: each one gives text or a reason, none brings the run down.

The documents are found through SLUICE_TEST_DATA, the folder that holds `formats/`.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path
from uuid import uuid4

import pytest

from sluice.extract import reader_for
from sluice.extract.formats import IsolatedExtractor
from sluice.extract.reasons import REASONS
from sluice.model import Item, Raw, SourceSpec
from sluice.ports import Extracted

FOLDER = Path(os.environ.get("SLUICE_TEST_DATA", Path(__file__).parents[3] / "shared" / "data")) / "formats"
MOST_SECONDS = 120.0

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="no documents: set SLUICE_TEST_DATA to their folder")


@pytest.fixture(scope="module")
def raws() -> list[Raw]:
    reader = reader_for(SourceSpec(FOLDER.as_uri(), "formats"), roots=(FOLDER,), max_bytes=100_000_000)
    return [reader.read(Item(uuid4(), entry, new=True)) for entry in reader.scan()]


@pytest.fixture(scope="module")
def results(raws: list[Raw]) -> list[Extracted]:
    started = time.monotonic()
    limits = {"timeout_s": 60.0, "memory_mb": 2048, "max_text_chars": 5_000_000, "max_bytes": 100_000_000}
    with IsolatedExtractor(workers=2, **limits) as extractor:
        found = extractor.extract(raws)
    seconds = time.monotonic() - started
    print(
        f"{len(found)} documents, {seconds:.2f} s:",
        Counter(each.failure[0] if each.failure else "text" for each in found),
    )
    assert seconds < MOST_SECONDS
    return found


def test_every_document_gives_text_or_a_reason(raws: list[Raw], results: list[Extracted]) -> None:
    assert len(raws) == len(results) > 300
    for raw, found in zip(raws, results, strict=True):
        name = raw.item.entry.external_id
        if found.failure:
            assert found.failure[1] == REASONS[found.failure[0]], name
            assert found.failure[0] not in ("crashed", "timeout", "out_of_memory"), name
        else:
            assert found.text.strip() and "\0" not in found.text, name
            found.text.encode("utf-8")
            assert list(found.page_starts) == sorted(found.page_starts), name


def test_few_are_refused(results: list[Extracted]) -> None:
    counts = Counter(found.failure[0] for found in results if found.failure)
    assert counts["encrypted"] >= 1 and counts["archive"] == 2
    assert sum(counts.values()) < 0.05 * len(results)


def test_office_text_is_that_of_the_reference(raws: list[Raw], results: list[Extracted]) -> None:
    """Nine words in ten of each reference conversion are found."""
    texts = {raw.item.entry.external_id: found for raw, found in zip(raws, results, strict=True)}
    shares = []
    for name, found in texts.items():
        reference = texts.get(name.replace("/sources/", "/groundtruth/") + ".md")
        if "/sources/" in name and name.endswith((".docx", ".html", ".xlsx")) and reference and not found.failure:
            expected = set(reference.text.lower().split())
            shares.append(len(expected & set(found.text.lower().split())) / max(1, len(expected)))
    assert len(shares) > 40
    assert sum(shares) / len(shares) > 0.75
