"""A Jupyter notebook (nbformat 3 and 4) as Markdown: text cells as they are, code fenced, and the printed output."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from sluice.model.reasons import unreadable

_ANSI = re.compile(r"\x1b\[[0-9;]{0,20}[A-Za-z]")
_SHOWN = ("text/markdown", "text/latex", "text/plain")  # text forms of an output, best first
Html = Callable[[str], str]


def notebook_text(content: bytes, html: Html) -> tuple[str, dict[str, Any]]:
    """Returns the text and the raw metadata for `facts.py`. `html` converts a page to text, for outputs without another
    form.

    Leaves out pictures. Raises ExtractionError (corrupt).
    """
    try:
        notebook = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise unreadable("corrupt") from error
    if not isinstance(notebook, dict):
        raise unreadable("corrupt")
    metadata = _object(notebook.get("metadata"))
    authors = [author for each in _list(metadata.get("authors")) if (author := _text(_object(each).get("name")))]
    parts = (part.strip("\n") for cell in _cells(notebook) for part in _cell(cell, _fence(metadata), html))
    text = "\n\n".join(part for part in parts if part.strip())
    return f"{text}\n" if text else "", {"title": metadata.get("title"), "authors": authors}


def _cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    sheets = [notebook, *map(_object, _list(notebook.get("worksheets")))]
    return [_object(cell) for sheet in sheets for cell in _list(sheet.get("cells"))]


def _cell(cell: dict[str, Any], fence: str, html: Html) -> Iterator[str]:
    source = _text(cell.get("source", cell.get("input")))
    kind = cell.get("cell_type")
    if kind == "code":
        yield f"{fence}\n{source.rstrip()}\n```" if source.strip() else ""
        for output in _list(cell.get("outputs")):
            yield _output(_object(output), html)
    elif kind == "heading":
        level = cell.get("level")
        yield f"{'#' * (level if isinstance(level, int) and 0 < level < 7 else 1)} {source}"
    else:
        yield source


def _output(output: dict[str, Any], html: Html) -> str:
    if output.get("output_type") in ("error", "pyerr"):
        return f"{_text(output.get('ename'))}: {_text(output.get('evalue'))}"
    data = {**{f"text/{name}": output.get(name) for name in ("html", "latex")}, **_object(output.get("data"))}
    for form in _SHOWN:
        if shown := _text(data.get(form)):
            return shown
    text = _text(output.get("text"))
    return _ANSI.sub("", text) if text else html(page) if (page := _text(data.get("text/html"))) else ""


def _fence(metadata: dict[str, Any]) -> str:
    language = _text(_object(metadata.get("language_info")).get("name"))
    return f"```{language}" if re.fullmatch(r"[\w+#.-]{1,30}", language) else "```"


def _text(value: Any) -> str:
    """Joins a text: nbformat stores it as one string or as a list of lines."""
    return value if isinstance(value, str) else "".join(part for part in _list(value) if isinstance(part, str))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
