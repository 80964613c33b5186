"""The text of presentations that kreuzberg does not read: PPTX with pictures that are only linked.

Runs in the worker, under its limits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree import ElementTree

from sluice.parsing.containers import opened, xml_tree

_DRAW = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_SLIDE = re.compile(r"ppt/slides/slide(\d+)\.xml\Z")


def pptx_text(content: bytes) -> str:
    """Returns the slides in the order of their numbers, with separate paragraphs. Raises ExtractionError (corrupt)."""
    with opened(content) as archive:
        numbers = sorted(int(match[1]) for name in archive.namelist() if (match := _SLIDE.match(name)))
        slides = [xml_tree(archive, f"ppt/slides/slide{number}.xml") for number in numbers]
    return "\n\n".join(text for slide in slides for text in _paragraphs(slide) if text)


def _paragraphs(slide: ElementTree.Element) -> Iterator[str]:
    for paragraph in slide.iter(_DRAW + "p"):
        yield "".join(part.text or "" for part in paragraph.iter(_DRAW + "t")).strip()
