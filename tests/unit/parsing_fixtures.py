"""Documents that tests make, through a worker as it is."""

from __future__ import annotations

import io
import zipfile
from uuid import uuid4

from sluice.model.document import FetchedDocument
from sluice.model.scan import ListingEntry, WorkItem
from sluice.parsing.extractor import IsolatedExtractor
from sluice.ports.content import Extracted


def extractor() -> IsolatedExtractor:
    """One worker with the usual limits; a context manager."""
    return IsolatedExtractor(workers=1, timeout_s=30.0, memory_mb=1024, max_text_chars=5_000_000, max_bytes=50_000_000)


def one(opened: IsolatedExtractor, content: bytes | str, name: str) -> Extracted:
    given = content.encode() if isinstance(content, str) else content
    return opened.extract(
        [FetchedDocument(WorkItem(uuid4(), ListingEntry(name, f"file:///{name}", "", 1), new=True), given, None)]
    )[0]


def text(opened: IsolatedExtractor, content: bytes | str, name: str) -> str:
    result = one(opened, content, name)
    assert result.failure is None, result.failure
    return result.text


def zipped(members: dict[str, str | bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()
