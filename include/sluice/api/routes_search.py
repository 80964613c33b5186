"""POST /search."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import APIRouter, Request

from sluice.api.auth import Caller
from sluice.api.backend import backend_of
from sluice.api.problems import documented
from sluice.api.schemas import SearchAnswer, SearchBody
from sluice.errors import NotFound
from sluice.model.search import SearchRequest
from sluice.retrieval.search_json import search_response

log = logging.getLogger(__name__)
router = APIRouter(tags=["search"])


@router.post(
    "/search",
    response_model=SearchAnswer,
    response_model_exclude_unset=True,
    responses=documented(401, 403, 404, 413, 415, 422, 429, 503),
)
async def search_passages(body: SearchBody, request: Request, caller: Caller) -> dict[str, Any]:
    """The best passages for a question, each with its citation. `nothing_relevant` is true if none of them fits."""
    backend = backend_of(request)
    given = body.model_dump(exclude={"legs"})
    search = SearchRequest(**given, retrievers=tuple(dict.fromkeys(body.legs)))
    with collection_of(body.collection):
        outcome = await backend.calls.run(lambda: backend.sluice.search(search, caller))
    request_id = request.state.sluice_request_id
    log.info(
        "search: request_id=%s collection=%s passages=%d cached=%s took_ms=%.1f degraded=%s",
        request_id,
        body.collection,
        len(outcome.passages),
        outcome.cached,
        outcome.took_ms,
        ",".join(outcome.degraded) or "-",
    )
    return search_response(outcome, request_id, body.explain)


@contextmanager
def collection_of(name: str) -> Iterator[None]:
    """Raises NotFound with one message for both cases: the collection does not exist, or is another tenant's."""
    try:
        yield
    except NotFound as error:
        message = f"There is no collection named {name} that you may read. GET /collections lists yours."
        raise NotFound(message) from error
