"""One document through kreuzberg, as Markdown. Runs in the worker only: this is the one importer of kreuzberg.

No network, no cache, one thread; OCR only where asked for. Equal bytes give equal text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import kreuzberg
from kreuzberg import ConcurrencyConfig, ContentFilterConfig, ExtractionConfig, OcrConfig, PostProcessorConfig

from sluice.errors import Unreadable
from sluice.extract import slides, sniff
from sluice.extract.charts import charts_text
from sluice.extract.compressed import COMPRESSED, inner_name, unpack
from sluice.extract.containers import MSG, ODP, ODT, OOXML, kind_of_ole, kind_of_zip
from sluice.extract.facts import facts
from sluice.extract.mail import mail_text
from sluice.extract.markup import check_depth, xml_text
from sluice.extract.notebook import notebook_text
from sluice.extract.odf import odf_markup, odf_text
from sluice.extract.pages import page_starts
from sluice.extract.reasons import unreadable
from sluice.extract.tables import delimited_text
from sluice.extract.text import plain_letters, tidy_title

_PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
# By default the first and last lines of short pages are taken for running headers and dropped, sentences among them.
_WHOLE_PAGES = ContentFilterConfig(include_headers=True, include_footers=True, strip_repeating_text=False)
_RECURSIVE = (ODT, "application/xml+opml", "application/docbook+xml", "application/x-fictionbook+xml")
_HEAD = re.compile(rb"<head\b.*?</head\s*>|<title\b.*?</title\s*>|<(?:meta|base|link)\b[^>]*>", re.I | re.S)


@dataclass(frozen=True, slots=True)
class Parsed:
    text: str
    mime: str
    title: str | None
    metadata: dict[str, Any]
    page_starts: tuple[int, ...] = ()


def parse(content: bytes, mime: str, max_unpacked_bytes: int, ocr_languages: str = "", name: str = "") -> Parsed:
    """ocr_languages: of pictures, and of PDFs without any text; "" leaves them unread. name: of the file, which tells
    what a compressed one holds.

    Raises Unreadable: corrupt, encrypted, zip_bomb, too_deep, archive, unsupported, empty.
    """
    if mime in COMPRESSED:
        return _compressed(content, mime, max_unpacked_bytes, ocr_languages, name)
    if mime == sniff.ZIP:
        mime = kind_of_zip(content, max_unpacked_bytes)
    elif mime == sniff.OLE:
        mime = kind_of_ole(content)
    if mime in sniff.DELIMITED:
        return Parsed(delimited_text(content), mime, None, {})
    if mime == sniff.EMAIL:
        return _mail(content, max_unpacked_bytes)
    if mime == ODP:
        return Parsed(plain_letters(odf_text(content)), mime, None, {})
    if mime == sniff.NOTEBOOK:
        return _notebook(content)
    if mime == sniff.XML and (text := _any_xml(content)) is not None:
        return Parsed(plain_letters(text), mime, None, {})
    if mime.startswith("image/"):
        return _by_kreuzberg(content, mime, ocr_languages)
    parsed = _by_kreuzberg(content, mime)
    if mime == sniff.PDF and ocr_languages and not parsed.text.strip():
        return _by_kreuzberg(content, mime, ocr_languages)
    return parsed


def _by_kreuzberg(content: bytes, mime: str, ocr_languages: str = "") -> Parsed:
    if mime in _RECURSIVE:
        check_depth(odf_markup(content) if mime == ODT else content)
    try:
        result = _result(content, mime, ocr_languages)
    except kreuzberg.MissingDependencyError as error:
        raise unreadable("unsupported") from error
    except (kreuzberg.KreuzbergError, ValueError, OSError) as error:
        if "password" in str(error).lower() or "encrypted" in str(error).lower():
            raise unreadable("encrypted") from error
        if mime == _PPTX:  # it gives up on slides whose pictures are linked instead of embedded
            return Parsed(slides.pptx_text(content), mime, None, {})
        raise unreadable("corrupt") from error
    found = dict(result.metadata)
    if mime == sniff.HTML:  # what is in <head> is metadata, and would come out as text once more
        result = _result(_HEAD.sub(b"", content), mime)
    text = plain_letters(_completed(result, content, mime))
    starts: tuple[int, ...] = ()
    if mime == sniff.PDF:
        starts = page_starts((result.document or {}).get("nodes") or [], found.get("page_count") or 0, text)
    title, metadata = facts(found, mime)
    return Parsed(text, mime, title, metadata, starts)


def _completed(result: Any, content: bytes, mime: str) -> str:
    """The parser's text, with what it leaves out."""
    parts = [result.content]
    if mime == ODT:
        parts = [odf_text(content) or result.content]
    elif mime in OOXML:
        parts.append(charts_text(content))
    elif mime == MSG:
        for child in result.children or ():
            parts.append(f"## Attachment: {tidy_title(child.get('path')) or 'unnamed'}\n\n{child['result'].content}")
    return "\n\n".join(part for part in parts if part)


def _compressed(content: bytes, mime: str, max_unpacked_bytes: int, ocr_languages: str, name: str) -> Parsed:
    inner = unpack(content, mime, max_unpacked_bytes)
    if not inner:
        raise unreadable("empty")
    kind = sniff.sniff(inner, inner_name(name))
    if kind.mime in COMPRESSED:
        raise unreadable("too_deep")
    if kind.failure and not (kind.failure == "image" and kind.mime and ocr_languages):
        raise unreadable(kind.failure)
    if kind.text is not None and not kind.parse:
        return Parsed(kind.text, kind.mime, None, {})
    return parse(inner if kind.text is None else kind.text.encode(), kind.mime, max_unpacked_bytes, ocr_languages)


def _mail(content: bytes, max_unpacked_bytes: int) -> Parsed:
    def read(attached: bytes, name: str, charset: str | None) -> str:
        kind = sniff.sniff(attached, name, charset)
        if kind.failure:
            raise unreadable(kind.failure)
        if not kind.parse:
            return kind.text or ""
        if kind.mime == sniff.EMAIL:
            raise unreadable("unsupported")  # a message as a file: attached messages have a type of their own
        given = attached if kind.text is None else kind.text.encode("utf-8")
        return parse(given, kind.mime, max_unpacked_bytes, name=name).text

    text, found = mail_text(content, read)
    title, metadata = facts(found, sniff.EMAIL)
    return Parsed(plain_letters(text), sniff.EMAIL, title, metadata)


def _notebook(content: bytes) -> Parsed:
    text, found = notebook_text(content, lambda page: _by_kreuzberg(page.encode("utf-8", "replace"), sniff.HTML).text)
    title, metadata = facts(found, sniff.NOTEBOOK)
    return Parsed(plain_letters(text), sniff.NOTEBOOK, title, metadata)


def _any_xml(content: bytes) -> str | None:
    """None where it is not well-formed: kreuzberg, which forgives more, reads it then."""
    try:
        return xml_text(content)
    except Unreadable as error:
        if error.code == "corrupt":
            return None
        raise


def _result(content: bytes, mime: str, ocr_languages: str = "") -> Any:
    return kreuzberg.extract_bytes_sync(
        content,
        mime,
        ExtractionConfig(  # type: ignore[call-arg]  # its stub is behind its code
            use_cache=False,
            disable_ocr=not ocr_languages,
            force_ocr=bool(ocr_languages),
            ocr=OcrConfig(backend="tesseract", language=ocr_languages) if ocr_languages else None,
            enable_quality_processing=False,
            # Every tag of unknown XML would become a heading.
            output_format="plain" if mime == sniff.XML else "markdown",
            include_document_structure=mime == sniff.PDF,
            content_filter=_WHOLE_PAGES if mime == sniff.PDF else None,
            concurrency=ConcurrencyConfig(max_threads=1),
            postprocessor=PostProcessorConfig(enabled=False),
        ),
    )
