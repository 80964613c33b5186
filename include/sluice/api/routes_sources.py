"""GET /sources: the saved sources whose documents the caller may read, with their schedules."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from sluice.access.policy import visible_groups
from sluice.api.auth import Caller
from sluice.api.backend import in_thread
from sluice.api.problems import documented
from sluice.api.schemas import SourceList
from sluice.model.names import NAME_PATTERN
from sluice.wiring.application import Sluice

router = APIRouter(responses=documented(401, 403, 429, 503))


@router.get("/sources", response_model=SourceList, responses=documented(422), tags=["sources"])
@in_thread
def list_sources(
    sluice: Sluice,
    caller: Caller,
    collection: Annotated[str | None, Query(pattern=NAME_PATTERN, description="Only of this one.")] = None,
) -> dict[str, Any]:
    """The saved sources of one tenant, with their schedules and last runs."""
    sources = [saved.to_json() for saved in sluice.catalog.sources(caller, collection)]
    return {"sources": [each | {"access_groups": visible_groups(caller, each["access_groups"])} for each in sources]}
