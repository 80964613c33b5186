"""Rejects unknown query parameters and unknown X-Sluice headers. An ignored filter would return more than asked for."""

from __future__ import annotations

from fastapi import Request
from fastapi.dependencies.utils import get_flat_dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from sluice.api.auth import PROBES
from sluice.model.spelling import unknown_names

HEADERS = frozenset({"x-sluice-tenant", "x-sluice-request"})


def reject_unknown(request: Request) -> None:
    """Raises RequestValidationError. Probes accept any query, because load balancers may add their own parameters."""
    route = request.scope.get("route")
    if not isinstance(route, APIRoute) or route.path in PROBES:
        return
    known = {field.alias for field in get_flat_dependant(route.dependant).query_params}
    errors = []
    for where, given, names, what in (
        ("query", list(request.query_params), known, "query parameter"),
        ("header", [name for name in request.headers if name.startswith("x-sluice-")], HEADERS, "header"),
    ):
        if message := unknown_names(given, names, what):
            first = next(each for each in given if each not in names)
            errors.append({"loc": (where, first), "msg": message, "type": "unknown"})
    if errors:
        raise RequestValidationError(errors)
