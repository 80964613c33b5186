"""The data of charts in Office documents, as Markdown tables.

A chart stores a copy of its data (ECMA-376 part 1, 21.2.2: `c:cat`, `c:val` and their caches), which no other text of
the document repeats. Runs in the worker, under its limits.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterable
from xml.etree import ElementTree  # under the worker's limits

from sluice.parsing.containers import BROKEN_ZIP
from sluice.parsing.markdown_tables import markdown_table

_CHART = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
_DRAW = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_NAME = re.compile(r"(?:ppt|word|xl)/charts/chart(\d+)\.xml\Z")
_MAX_CHARTS = 200
_MAX_POINTS = 10_000


def charts_text(content: bytes) -> str:
    """Returns a heading and a table for each chart that stores its data, or ""."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            numbered = sorted((int(match[1]), name) for name in archive.namelist() if (match := _NAME.match(name)))
            charts = [_chart(archive.read(name)) for _, name in numbered[:_MAX_CHARTS]]
    except BROKEN_ZIP:
        return ""  # the charts are lost, but the document itself was read
    return "\n\n".join(filter(None, charts))


def _chart(markup: bytes) -> str:
    try:
        root = ElementTree.fromstring(markup)  # noqa: S314
    except ElementTree.ParseError:
        return ""
    titles = root.iterfind(f"{_CHART}chart/{_CHART}title")
    title = " ".join("".join(part.text or "" for each in titles for part in each.iter(f"{_DRAW}t")).split())
    series = list(root.iter(f"{_CHART}ser"))
    columns = [_points(each, ("val", "yVal")) for each in series]
    if not any(columns):
        return ""
    labels = next(filter(None, (_points(each, ("cat", "xVal")) for each in series)), {})
    rows = [["", *(" ".join(_points(each, ("tx",)).values()) for each in series)]]
    for index in sorted({index for column in columns for index in column}):
        rows.append([labels.get(index, ""), *(column.get(index, "") for column in columns)])
    return f"## {title or 'Chart'}\n\n{markdown_table(rows)}"


def _points(series: ElementTree.Element, names: Iterable[str]) -> dict[int, str]:
    points: dict[int, str] = {}
    for name in names:
        for place in series.iterfind(_CHART + name):
            for point in place.iter(f"{_CHART}pt"):
                index, value = point.get("idx", ""), point.findtext(f"{_CHART}v")
                if index.isdigit() and value and len(points) < _MAX_POINTS:
                    points[int(index)] = value
    return points
