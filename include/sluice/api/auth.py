"""Authentication, choice of the tenant and CSRF defence. All paths but the two probes need an authenticated caller."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Header, Request, Response
from fastapi.security.utils import get_authorization_scheme_param
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from sluice.api.backend import Backend, backend_of
from sluice.api.limits import UPLOADS
from sluice.api.problems import problem
from sluice.errors import Forbidden
from sluice.model.grants import Grant, Principal

Authenticate = Callable[[Request], Awaitable[str | None]]
"""A request → the caller's name; None: not authenticated. Raises Unavailable if that cannot be decided."""

PROBES = frozenset({"/api/v1/health/live", "/api/v1/health/ready"})
DEFAULT_TENANT = "default"


class Guard:
    """ASGI middleware in front of the routes, so that paths that do not exist need authentication, too."""

    def __init__(self, app: ASGIApp, authenticate: Authenticate) -> None:
        self._app = app
        self._authenticate = authenticate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _route_path(scope) in PROBES:
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        caller = await self._authenticate(request)
        if not caller:
            detail = "Sign in to Airflow, or send Authorization: Bearer with a token from POST /auth/token."
            rejection = problem(request, 401, detail, {"WWW-Authenticate": "Bearer"})
            await rejection(scope, receive, send)
            return
        request.state.sluice_caller = caller
        await self._app(scope, receive, send)


def _route_path(scope: Scope) -> str:
    """The path below the mount point. An unexpected path is returned unchanged, so it needs authentication."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path[len(root) :] if root and path.startswith(f"{root}/") else path


async def grants_of_caller(request: Request) -> list[Grant]:
    """The caller's grants, sorted by tenant name. Raises Forbidden if there is none."""
    backend: Backend = backend_of(request)
    caller: str = request.state.sluice_caller
    grants = await backend.calls.run(lambda: backend.sluice.ledger.grants.of(caller))
    if not grants:
        raise Forbidden(
            f"{caller} is signed in but may not read any tenant. An operator can change that: "
            f"sluice grant {caller} --tenant {DEFAULT_TENANT}"
        )
    return sorted(grants, key=lambda grant: grant.tenant)


Grants = Annotated[Sequence[Grant], Depends(grants_of_caller)]


def principal_of_request(
    grants: Grants,
    response: Response,
    x_sluice_tenant: Annotated[
        str | None, Header(description="Which of your tenants to read. Without it: `default`, else your first by name.")
    ] = None,
) -> Principal:
    """The caller in one tenant; the answer's X-Sluice-Tenant says which. Raises Forbidden."""
    by_tenant = {grant.tenant: grant for grant in grants}
    if x_sluice_tenant is not None and x_sluice_tenant not in by_tenant:
        raise Forbidden(f"{grants[0].principal} was not granted the tenant named in X-Sluice-Tenant.")
    grant = by_tenant[x_sluice_tenant] if x_sluice_tenant else by_tenant.get(DEFAULT_TENANT, grants[0])
    response.headers["X-Sluice-Tenant"] = grant.tenant
    return grant.holder()


Caller = Annotated[Principal, Depends(principal_of_request)]


def reject_cross_site_posts(request: Request) -> None:
    """CSRF defence: a browser adds the session cookie to a post that any other site makes it send.

    Accepts only JSON, or a form with an X-Sluice header; a plain HTML form can send neither. A call that uses the
    cookie must come from our own pages. Raises HTTPException 403, 415."""
    if request.method in ("GET", "HEAD", "OPTIONS"):
        return
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    scheme, token = get_authorization_scheme_param(request.headers.get("authorization"))
    bearer = scheme.lower() == "bearer" and bool(token)
    upload = request.url.path.endswith(UPLOADS)
    if upload and media_type != "multipart/form-data":
        raise HTTPException(415, "Send the document with Content-Type: multipart/form-data.")
    if upload and not bearer and "x-sluice-request" not in request.headers:
        raise HTTPException(403, "An upload with the session cookie needs the header X-Sluice-Request: 1.")
    # An HTML form cannot send DELETE; a script of another site needs a CORS permission, which is never given.
    if not upload and request.method != "DELETE" and media_type != "application/json":
        raise HTTPException(415, "Send the body with Content-Type: application/json.")
    if bearer:
        return
    fetch_site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    foreign = (
        fetch_site != "same-origin"
        if fetch_site
        # Clients that are not browsers send neither header; browsers send an Origin with every post.
        else origin is not None and urlsplit(origin).netloc != request.headers.get("host")
    )
    if foreign:
        raise HTTPException(403, "A page of another site may not use your session. Use a bearer token instead.")
