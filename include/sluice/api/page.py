"""Routes of the pages: search, lineage, gates, evaluations, API. Static files; nothing loads from other hosts."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse

router = APIRouter(include_in_schema=False)

_FOLDER = Path(__file__).parent
_TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript"}
# `no-cache`: the browser revalidates its copy at each request, so that an upgrade is visible at once.
_HEADERS = {"Cache-Control": "no-cache"}


def _serve(path: str, name: str) -> None:
    file = _FOLDER / name

    @router.get(path, name=name)
    async def page_file() -> FileResponse:
        return FileResponse(file, media_type=_TYPES[file.suffix], headers=_HEADERS)


_serve("/", "page.html")
_serve("/lineage", "lineage.html")
_serve("/gates", "gates.html")
_serve("/evaluations", "evaluations.html")
_serve("/api/v1/docs", "docs.html")
for _file in (*_FOLDER.glob("*.css"), *_FOLDER.glob("*.js")):
    _serve(f"/{_file.name}", _file.name)
