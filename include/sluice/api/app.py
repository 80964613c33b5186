"""The query service as one FastAPI app, to be mounted under a prefix (the Airflow plugin uses /sluice)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.to_thread
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from sluice import __version__
from sluice.api import (
    page,
    routes_catalog,
    routes_deletions,
    routes_evaluations,
    routes_gates,
    routes_health,
    routes_lineage,
    routes_quarantine,
    routes_search,
    routes_sources,
    routes_uploads,
)
from sluice.api.auth import Authenticate, Guard, reject_cross_site_posts
from sluice.api.backend import Backend
from sluice.api.limits import RequestLimits
from sluice.api.problems import answer_error
from sluice.api.schemas import Problem
from sluice.api.security_headers import SecurityHeaders
from sluice.api.unknown import reject_unknown
from sluice.wiring.application import Sluice

_DESCRIPTION = (
    "Hybrid search over governed documents, with citations. Authenticate with `Authorization: Bearer <token>` "
    "(token from Airflow's POST /auth/token) or with the session cookie of the Airflow UI."
)
_SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
    "cookie": {"type": "apiKey", "in": "cookie", "name": "_token"},
}


def create_app(
    factory: Callable[[], Sluice],
    authenticate: Authenticate,
    trigger: routes_uploads.Trigger | None = None,
    *,
    warm: bool = False,
) -> FastAPI:
    """Builds the app, but no client: `factory` is called on first use, `Sluice.close` on shutdown. `trigger`
    queues the run that ingests an upload or replays a document; None: both routes answer 501. `warm`: the dependencies
    are built and prepared at the start, in the background.

    The OpenAPI document is at /api/v1/openapi.json, its page at /api/v1/docs; both need authentication. FastAPI's own
    pages are off, because they load scripts from other hosts.
    """
    app = FastAPI(
        title="Sluice",
        version=__version__,
        description=_DESCRIPTION,
        openapi_url=None,  # and so none of FastAPI's pages
        redirect_slashes=False,
        lifespan=_lifespan,
    )
    app.state.backend = Backend(factory)
    app.state.trigger = trigger
    app.state.warm = warm
    app.state.ready, app.state.ready_at, app.state.ready_lock = False, float("-inf"), anyio.Lock()
    api = APIRouter(prefix="/api/v1", dependencies=[Depends(reject_cross_site_posts), Depends(reject_unknown)])
    for routes in (
        routes_search,
        routes_catalog,
        routes_deletions,
        routes_sources,
        routes_uploads,
        routes_quarantine,
        routes_lineage,
        routes_gates,
        routes_evaluations,
        routes_health,
    ):
        api.include_router(routes.router)
    api.add_api_route("/openapi.json", _openapi, include_in_schema=False)
    app.include_router(api)
    app.include_router(page.router)
    for kind in (HTTPException, RequestValidationError):
        app.add_exception_handler(kind, _on_error)
    # The middleware added last is the outermost.
    app.add_middleware(RequestLimits)
    app.add_middleware(Guard, authenticate=authenticate)
    app.add_middleware(SecurityHeaders)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    if app.state.warm:
        app.state.backend.warm_up()
    yield
    await anyio.to_thread.run_sync(app.state.backend.close)


async def _on_error(request: Request, error: Exception) -> JSONResponse:
    return answer_error(request, error)


async def _openapi(request: Request) -> JSONResponse:
    schema: dict[str, Any] = dict(request.app.openapi())
    components = dict(schema["components"])
    unused = ("HTTPValidationError", "ValidationError")  # the framework's; every error of this service is a Problem
    models = {name: model for name, model in components["schemas"].items() if name not in unused}
    models["Problem"] = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    models |= models["Problem"].pop("$defs", {})
    components |= {"schemas": models, "securitySchemes": _SECURITY}
    schema |= {
        "components": components,
        "servers": [{"url": request.scope.get("root_path", "") or "/"}],
        "security": [{name: []} for name in _SECURITY],
    }
    return JSONResponse(schema)
