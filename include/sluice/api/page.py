"""The pages (search, lineage, gates, API): fixed files of this package, nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse

router = APIRouter(include_in_schema=False)

_FOLDER = Path(__file__).parent
_TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript"}
# `no-cache`: kept by the browser, but asked for again each time, so that an upgrade shows at once.
_HEADERS = {"Cache-Control": "no-cache"}


def _serve(path: str, name: str) -> None:
    file = _FOLDER / name

    @router.get(path, name=name)
    async def page_file() -> FileResponse:
        return FileResponse(file, media_type=_TYPES[file.suffix], headers=_HEADERS)


_serve("/", "page.html")
_serve("/lineage", "lineage.html")
_serve("/gates", "gates.html")
_serve("/api/v1/docs", "docs.html")
for _name in (
    "page.css",
    "page.js",
    "lineage.js",
    "picture.js",
    "gates.js",
    "docs.js",
    "schema.js",
    "try.js",
    "steps.js",
    "results.js",
    "highlight.js",
    "client.js",
):
    _serve(f"/{_name}", _name)
