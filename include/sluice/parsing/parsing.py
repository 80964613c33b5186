"""Converts one document to Markdown with kreuzberg. Runs in the worker only; no other module imports kreuzberg.

No network, no cache, one thread; OCR only if requested. Equal bytes give equal text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

import kreuzberg
from kreuzberg import ConcurrencyConfig, ContentFilterConfig, ExtractionConfig, OcrConfig, PostProcessorConfig

from sluice.compression import COMPRESSED, inner_name, unpack
from sluice.errors import ExtractionError
from sluice.model.metadata import RECOVERED
from sluice.model.reasons import unreadable
from sluice.parsing import slides, sniffing
from sluice.parsing.calendars import calendar_text, is_calendar
from sluice.parsing.charts import charts_text
from sluice.parsing.containers import MSG, ODP, ODT, OOXML, XLSX, kind_of_ole, kind_of_zip
from sluice.parsing.coverage import Completed, completed
from sluice.parsing.embedded import without_blobs, without_data_addresses
from sluice.parsing.facts import facts
from sluice.parsing.formulas import with_formulas
from sluice.parsing.html import html_blocks, html_for_parser
from sluice.parsing.mail import Read, mail_text
from sluice.parsing.markdown_tables import delimited_text
from sluice.parsing.markup import check_depth, xml_text
from sluice.parsing.msg import msg_parts
from sluice.parsing.notebook import notebook_text
from sluice.parsing.odf import odf_markup, odf_text
from sluice.parsing.office import has_office_blocks, office_blocks
from sluice.parsing.pages import page_starts
from sluice.parsing.rst import rst_blocks, rst_for_parser
from sluice.parsing.text import plain_letters

_PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
# By default kreuzberg drops the first and last lines of short pages as running headers, even if they are sentences.
_WHOLE_PAGES = ContentFilterConfig(include_headers=True, include_footers=True, strip_repeating_text=False)
# By default kreuzberg drops forms and navigation; but a page may be one form, and handbooks need their contents list.
_WHOLE_HTML = {
    "preprocessing": {"enabled": True, "preset": "minimal", "remove_navigation": False, "remove_forms": False}
}
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
    """Converts one document. ocr_languages: for images, and for PDFs without text; "" turns OCR off. name: of the file,
    which shows the type inside a compressed file.

    Raises ExtractionError: corrupt, encrypted, zip_bomb, too_deep, archive, unsupported, empty.
    """
    if mime in COMPRESSED:
        return _compressed(content, mime, max_unpacked_bytes, ocr_languages, name)
    if mime == sniffing.ZIP:
        mime = kind_of_zip(content, max_unpacked_bytes)
    elif mime == sniffing.OLE:
        mime = kind_of_ole(content)
    if mime in sniffing.DELIMITED:
        return Parsed(delimited_text(content), mime, None, {})
    if mime == sniffing.EMAIL:
        return _mail(content, max_unpacked_bytes)
    if mime == MSG:
        return _msg(content, max_unpacked_bytes)
    if mime == ODP:
        return _with_missing_blocks(odf_text(content), content, Parsed("", mime, None, {}))
    if mime == sniffing.NOTEBOOK:
        return _notebook(content)
    if mime == sniffing.XML:
        return Parsed(plain_letters(without_data_addresses(_any_xml(content))), mime, None, {})
    if mime.startswith("image/"):
        return _by_kreuzberg(content, mime, ocr_languages)
    parsed = _by_kreuzberg(content, mime)
    if mime == sniffing.PDF and ocr_languages and not parsed.text.strip():
        return _by_kreuzberg(content, mime, ocr_languages)
    return parsed


def _by_kreuzberg(content: bytes, mime: str, ocr_languages: str = "") -> Parsed:
    if mime in _RECURSIVE:
        check_depth(odf_markup(content) if mime == ODT else content)
    prepared = _for_parser(content, mime)
    try:
        result = _result(prepared, mime, ocr_languages)
    except kreuzberg.MissingDependencyError as error:
        raise unreadable("unsupported") from error
    except (kreuzberg.KreuzbergError, ValueError, OSError) as error:
        if "password" in str(error).lower() or "encrypted" in str(error).lower():
            raise unreadable("encrypted") from error
        if mime == _PPTX:  # kreuzberg fails on slides with linked pictures
            return _with_missing_blocks(slides.pptx_text(content), content, Parsed("", mime, None, {}))
        raise unreadable("corrupt") from error
    raw_metadata = dict(result.metadata)
    if mime == sniffing.HTML:  # <head> is metadata, and kreuzberg would repeat it as text
        result = _result(_HEAD.sub(b"", prepared), mime)
    title, metadata = facts(raw_metadata, mime)
    parsed = _with_missing_blocks(_joined(result, content, mime), content, Parsed("", mime, title, metadata))
    if mime == sniffing.PDF:
        nodes = (result.document or {}).get("nodes") or []
        return replace(parsed, page_starts=page_starts(nodes, raw_metadata.get("page_count") or 0, parsed.text))
    return parsed


def _for_parser(content: bytes, mime: str) -> bytes:
    """Rewrites the parts of a document that the parser would lose or misread."""
    if mime == sniffing.HTML:
        return html_for_parser(content.decode("utf-8", "replace")).encode("utf-8")
    if mime == sniffing.RST:
        return rst_for_parser(content.decode("utf-8", "replace")).encode("utf-8")
    return with_formulas(content) if mime == XLSX else content


def _with_missing_blocks(text: str, content: bytes, parsed: Parsed) -> Parsed:
    """Returns `parsed` with `text` and with the blocks of a plain reading that `text` lacks."""
    completed_text = Completed(plain_letters(text), 0)
    if parsed.mime == sniffing.HTML:
        completed_text = completed(completed_text.text, html_blocks(content.decode("utf-8", "replace")), is_whole=True)
    elif parsed.mime == sniffing.RST:
        completed_text = completed(completed_text.text, rst_blocks(content.decode("utf-8", "replace")))
    elif has_office_blocks(parsed.mime):
        completed_text = completed(completed_text.text, office_blocks(content, parsed.mime))
    metadata = {**parsed.metadata, RECOVERED: completed_text.words} if completed_text.words else parsed.metadata
    return replace(parsed, text=without_data_addresses(completed_text.text), metadata=metadata)


def _joined(result: Any, content: bytes, mime: str) -> str:
    """Adds the text that the parser leaves out."""
    parts = [result.content]
    if mime == ODT:
        parts = [odf_text(content) or result.content]
    elif mime in OOXML:
        parts.append(charts_text(content))
    return "\n\n".join(part for part in parts if part)


def _compressed(content: bytes, mime: str, max_unpacked_bytes: int, ocr_languages: str, name: str) -> Parsed:
    inner = unpack(content, mime, max_unpacked_bytes)
    if not inner:
        raise unreadable("empty")
    kind = sniffing.sniff(inner, inner_name(name))
    if kind.mime in COMPRESSED:
        raise unreadable("too_deep")
    if kind.failure and not (kind.failure == "image" and kind.mime and ocr_languages):
        raise unreadable(kind.failure)
    if kind.text is not None and not kind.parse:
        return Parsed(kind.text, kind.mime, None, {})
    return parse(inner if kind.text is None else kind.text.encode(), kind.mime, max_unpacked_bytes, ocr_languages)


def _mail(content: bytes, max_unpacked_bytes: int) -> Parsed:
    text, raw_metadata = mail_text(content, _reader_of_parts(max_unpacked_bytes))
    title, metadata = facts(raw_metadata, sniffing.EMAIL)
    return Parsed(plain_letters(text), sniffing.EMAIL, title, metadata)


def _msg(content: bytes, max_unpacked_bytes: int) -> Parsed:
    parsed = _by_kreuzberg(content, MSG)
    try:
        body, attached = msg_parts(content, _reader_of_parts(max_unpacked_bytes))
    except ExtractionError as error:
        body, attached = [], [f"(not read: the attachments, {error.code})"]
    text = "\n\n".join([completed(parsed.text, body).text.rstrip("\n"), *attached])
    return replace(parsed, text=plain_letters(text))


def _reader_of_parts(max_unpacked_bytes: int) -> Read:
    def read(attached: bytes, name: str, charset: str | None = None) -> str:
        kind = sniffing.sniff(attached, name, charset)
        if kind.failure:
            raise unreadable(kind.failure)
        if not kind.parse:
            text = kind.text or ""
            return calendar_text(text) if is_calendar(text) else without_blobs(without_data_addresses(text))
        content = attached if kind.text is None else kind.text.encode("utf-8")
        return parse(content, kind.mime, max_unpacked_bytes, name=name).text

    return read


def _notebook(content: bytes) -> Parsed:
    text, raw_metadata = notebook_text(
        content, lambda page: _by_kreuzberg(page.encode("utf-8", "replace"), sniffing.HTML).text
    )
    title, metadata = facts(raw_metadata, sniffing.NOTEBOOK)
    return Parsed(plain_letters(text), sniffing.NOTEBOOK, title, metadata)


def _any_xml(content: bytes) -> str:
    """Returns the text of XML; if it is not well-formed, the text between its tags."""
    try:
        return xml_text(content)
    except ExtractionError as error:
        if error.code == "corrupt":
            return "\n\n".join(html_blocks(content.decode("utf-8", "replace")))
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
            output_format="markdown",
            include_document_structure=mime == sniffing.PDF,
            content_filter=_WHOLE_PAGES if mime == sniffing.PDF else None,
            concurrency=ConcurrencyConfig(max_threads=1),
            html_options=_WHOLE_HTML,  # type: ignore[arg-type]
            postprocessor=PostProcessorConfig(enabled=False),
        ),
    )
