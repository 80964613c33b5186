"""GET /sources: the saved sources whose documents the caller may read, with their schedules."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from sluice.access.policy import visible_groups
from sluice.api.auth import Caller
from sluice.api.backend import backend_of
from sluice.api.problems import documented
from sluice.api.schemas import SourceList
from sluice.model.grants import Principal
from sluice.model.names import NAME_PATTERN
from sluice.model.source import SavedSource

router = APIRouter(responses=documented(401, 403, 429, 503))


@router.get("/sources", response_model=SourceList, responses=documented(422), tags=["sources"])
async def list_sources(
    request: Request,
    caller: Caller,
    collection: Annotated[str | None, Query(pattern=NAME_PATTERN, description="Only of this one.")] = None,
) -> dict[str, Any]:
    """The saved sources of one tenant, with their schedules and last runs."""
    backend = backend_of(request)
    sources = await backend.calls.run(lambda: backend.sluice.catalog.sources(caller, collection))
    return {"sources": [_described(saved, caller) for saved in sources]}


def _described(saved: SavedSource, caller: Principal) -> dict[str, Any]:
    summary = saved.to_json()
    return {**summary, "access_groups": visible_groups(caller, summary["access_groups"])}
