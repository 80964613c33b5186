"""Reduces the metadata of a parser to a small JSON object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sluice.parsing.text import tidy_title

_MAX_CHARS = 300
_MAX_VALUES = 50
_PDF = "application/pdf"  # created_by is a program
_NOTEBOOK = "application/x-ipynb+json"  # language is a programming language
# Placeholders that programs write if the user wrote nothing.
_PLACEHOLDERS = frozenset({"untitled", "anonymous", "(anonymous)", "unspecified", "(unspecified)"})
_EMAILS = ("message/rfc822", "application/vnd.ms-outlook")


def facts(raw: Mapping[str, Any], mime: str) -> tuple[str | None, dict[str, Any]]:
    """Returns (title, metadata).

    Keys: language, author, created, modified, subject, keywords, pages, slides, sheets; for mails from, to, cc,
    attachments. A value is a text, a number or a list of texts.
    """
    title = _text(raw.get("title")) or (_text(raw.get("subject")) if mime in _EMAILS else None)
    values = {
        "language": _text(raw.get("language")) if mime != _NOTEBOOK else None,
        "author": _texts(raw.get("authors")) or (_text(raw.get("created_by")) if mime != _PDF else None),
        "created": _text(raw.get("created_at")),
        "modified": _text(raw.get("modified_at")),
        "subject": _text(raw.get("subject")),
        "keywords": _texts(raw.get("keywords")),
        "pages": raw.get("page_count") if mime == _PDF else None,
        "slides": raw.get("slide_count"),
        "sheets": _texts(raw.get("sheet_names")),
        "from": _text(raw.get("from_email")),
        "to": _texts(raw.get("to_emails")),
        "cc": _texts(raw.get("cc_emails")),
        "attachments": _texts(raw.get("attachments")),
    }
    return tidy_title(title), {key: value for key, value in values.items() if value}


def _text(value: Any) -> str | None:
    if not isinstance(value, str):
        return None
    text = " ".join(value.replace("\0", "").split())[:_MAX_CHARS]
    return text if text and text.lower() not in _PLACEHOLDERS else None


def _texts(value: Any) -> str | list[str] | None:
    """Returns a single text without a list."""
    if not isinstance(value, list):
        return _text(value)
    texts = [text for text in map(_text, value[:_MAX_VALUES]) if text]
    return texts[0] if len(texts) == 1 else texts or None
