"""What a parser says about a document, reduced to a small JSON object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sluice.parsing.text import tidy_title

_MAX_CHARS = 300
_MAX_VALUES = 50
_PDF = "application/pdf"  # its created_by is a program
_NOTEBOOK = "application/x-ipynb+json"  # its language is a programming language
# What programs write where their user wrote nothing.
_PLACEHOLDERS = frozenset({"untitled", "anonymous", "(anonymous)", "unspecified", "(unspecified)"})
_EMAILS = ("message/rfc822", "application/vnd.ms-outlook")


def facts(found: Mapping[str, Any], mime: str) -> tuple[str | None, dict[str, Any]]:
    """(title, metadata). Keys: language, author, created, modified, subject, keywords, pages, slides, sheets, and of
    mails from, to, cc, attachments. A value is a text, a number or a list of texts."""
    title = _text(found.get("title")) or (_text(found.get("subject")) if mime in _EMAILS else None)
    values = {
        "language": _text(found.get("language")) if mime != _NOTEBOOK else None,
        "author": _texts(found.get("authors")) or (_text(found.get("created_by")) if mime != _PDF else None),
        "created": _text(found.get("created_at")),
        "modified": _text(found.get("modified_at")),
        "subject": _text(found.get("subject")),
        "keywords": _texts(found.get("keywords")),
        "pages": found.get("page_count") if mime == _PDF else None,
        "slides": found.get("slide_count"),
        "sheets": _texts(found.get("sheet_names")),
        "from": _text(found.get("from_email")),
        "to": _texts(found.get("to_emails")),
        "cc": _texts(found.get("cc_emails")),
        "attachments": _texts(found.get("attachments")),
    }
    return tidy_title(title), {key: value for key, value in values.items() if value}


def _text(value: Any) -> str | None:
    if not isinstance(value, str):
        return None
    text = " ".join(value.replace("\0", "").split())[:_MAX_CHARS]
    return text if text and text.lower() not in _PLACEHOLDERS else None


def _texts(value: Any) -> str | list[str] | None:
    """A single one stands alone."""
    if not isinstance(value, list):
        return _text(value)
    texts = [text for text in map(_text, value[:_MAX_VALUES]) if text]
    return texts[0] if len(texts) == 1 else texts or None
