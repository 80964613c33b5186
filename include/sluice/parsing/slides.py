"""The text of presentations that kreuzberg does not read: PPTX with pictures that are only linked.

Runs in the worker, under its limits: the standard library parses the XML.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterable, Iterator
from xml.etree import ElementTree  # under the worker's limits

from sluice.model.reasons import unreadable

_DRAW = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_SLIDE = re.compile(r"ppt/slides/slide(\d+)\.xml\Z")
_DOCTYPE = b"<!DOCTYPE"  # not part of the format; nested entities can expand without end


def pptx_text(content: bytes) -> str:
    """Returns the slides in the order of their numbers, with separate paragraphs. Raises ExtractionError (corrupt)."""
    with _opened(content) as archive:
        numbers = sorted(int(match[1]) for name in archive.namelist() if (match := _SLIDE.match(name)))
        slides = [_tree(archive, f"ppt/slides/slide{number}.xml") for number in numbers]
    return _joined(_paragraphs(slide) for slide in slides)


def _opened(content: bytes) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(io.BytesIO(content))
    except zipfile.BadZipFile as error:
        raise unreadable("corrupt") from error


def _tree(archive: zipfile.ZipFile, name: str) -> ElementTree.Element:
    try:
        markup = archive.read(name)
        if _DOCTYPE in markup[:4096]:
            raise unreadable("corrupt")
        return ElementTree.fromstring(markup)  # noqa: S314
    except (zipfile.BadZipFile, KeyError, ElementTree.ParseError, EOFError, OSError, ValueError) as error:
        raise unreadable("corrupt") from error


def _paragraphs(slide: ElementTree.Element) -> Iterator[str]:
    for paragraph in slide.iter(_DRAW + "p"):
        yield "".join(part.text or "" for part in paragraph.iter(_DRAW + "t")).strip()


def _joined(slides: Iterable[Iterator[str]]) -> str:
    return "\n\n".join(text for slide in slides for text in slide if text)
