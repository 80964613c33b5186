"""Pictures of text: refused with a hint while OCR is off, read where it is on."""

from __future__ import annotations

import io
from typing import Any
from uuid import uuid4

import pytest
from PIL import Image, ImageDraw, ImageFont

from sluice.errors import BadRequest
from sluice.model.document import FetchedDocument
from sluice.model.scan import ListingEntry, WorkItem
from sluice.parsing.extractor import IsolatedExtractor
from sluice.parsing.ocr import language_folder
from sluice.ports.content import Extracted

LIMITS: dict[str, Any] = {
    "workers": 1,
    "timeout_s": 60.0,
    "memory_mb": 2048,
    "max_text_chars": 1_000_000,
    "max_bytes": 50_000_000,
}


def picture(kind: str, text: str = "Invoice number 4711") -> bytes:
    image, buffer = Image.new("RGB", (1200, 300), "white"), io.BytesIO()
    font = ImageFont.load_default(60)
    ImageDraw.Draw(image).text((40, 80), text, fill="black", font=font)
    image.save(buffer, kind)
    return buffer.getvalue()


def extracted(content: bytes, name: str, languages: str) -> Extracted:
    raw = FetchedDocument(
        WorkItem(uuid4(), ListingEntry(name, f"file:///{name}", "", len(content)), new=True), content, None
    )
    with IsolatedExtractor(**LIMITS, ocr_languages=languages) as opened:
        return opened.extract([raw])[0]


@pytest.mark.parametrize(("kind", "code"), [("PNG", "image"), ("PDF", "no_text")])
def test_a_picture_is_refused_with_a_hint(kind: str, code: str) -> None:
    result = extracted(picture(kind), f"x.{kind.lower()}", "")
    assert result.failure is not None and result.failure[0] == code and "SLUICE_OCR=tesseract" in result.failure[1]


@pytest.mark.skipif(language_folder("eng") is None, reason="no Tesseract data: apt-get install tesseract-ocr")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "PDF"])
def test_a_picture_is_read(kind: str) -> None:
    result = extracted(picture(kind), f"x.{kind.lower()}", "eng")
    assert result.failure is None and "Invoice number 4711" in result.text


@pytest.mark.skipif(language_folder("eng") is None, reason="no Tesseract data: apt-get install tesseract-ocr")
def test_a_blank_picture_has_no_text() -> None:
    result = extracted(picture("PNG", ""), "x.png", "eng")
    assert result.failure is not None and result.failure[0] == "no_text"


def test_what_is_not_installed_is_said_at_once() -> None:
    with pytest.raises(BadRequest, match="apt-get install"):
        IsolatedExtractor(**LIMITS, ocr_languages="eng+no_such_language")
