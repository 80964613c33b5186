"""Errors as RFC 9457 problem details (`application/problem+json`), always with the request's id."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from math import ceil
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import Request

from sluice.errors import BadRequest, Forbidden, Full, NotFound, Transient, Unavailable
from sluice.model.spelling import unknown_names
from sluice.model.text import encodable

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
MAX_FIELD_ERRORS = 10


def problem(
    request: Request, status: int, detail: str, headers: Mapping[str, str] | None = None, **extra: Any
) -> JSONResponse:
    """A problem response. `extra`: further members beside the standard ones."""
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "request_id": getattr(request.state, "sluice_request_id", ""),
        **extra,
    }
    return JSONResponse(body, status, dict(headers or {}), MEDIA_TYPE)


def answer_error(request: Request, error: Exception) -> JSONResponse:
    """Any exception → a problem. Errors that the caller did not cause are logged in full; the answer is general."""
    match error:
        case RequestValidationError():
            return _invalid(request, error.errors())
        case HTTPException():
            return _http(request, error)
        case NotFound():
            return problem(request, 404, str(error))
        case Forbidden():
            return problem(request, 403, str(error))
        case Full():
            return problem(request, 409, str(error))
        case BadRequest():
            return problem(request, 422, str(error))
        case Transient():
            log.warning("%s %s: %s", request.method, request.url.path, error)
            name = error.dependency if isinstance(error, Unavailable) else "A store"
            wait = {"Retry-After": str(max(1, ceil(error.retry_after_s)))}
            return problem(request, 503, f"{name} is not available. Nothing was lost; try again shortly.", wait)
        case _:
            log.error("%s %s failed", request.method, request.url.path, exc_info=error)
            return problem(request, 500, "The query service failed; its log has the reason under this request_id.")


def _http(request: Request, error: HTTPException) -> JSONResponse:
    if error.status_code == 400:  # the framework's answer to a body that it cannot parse
        return problem(request, 422, "The body cannot be read as JSON in UTF-8, or is nested too deeply.")
    if error.status_code == 404 and error.detail == "Not Found":
        return problem(request, 404, "There is nothing at this address.")
    if error.status_code == 405 and error.detail == "Method Not Allowed":
        allowed = (error.headers or {}).get("Allow", "another method")
        return problem(request, 405, f"{request.method} is not possible here; use {allowed}.", error.headers)
    return problem(request, error.status_code, str(error.detail), error.headers)


def _invalid(request: Request, errors: Sequence[Mapping[str, Any]]) -> JSONResponse:
    fields = [{"field": _field(error), "message": _message(request, error)} for error in errors[:MAX_FIELD_ERRORS]]
    detail = "; ".join(f"{item['field']}: {item['message']}" for item in fields)
    return problem(request, 422, detail, errors=fields)


def _field(error: Mapping[str, Any]) -> str:
    if error["type"] == "json_invalid":
        return "body"
    parts = [str(part)[:80] for part in error["loc"][1:]]  # the first one says body, query, path or header
    name = ".".join(parts) or "body"
    return encodable(name)


def _message(request: Request, error: Mapping[str, Any]) -> str:
    match error["type"]:
        case "extra_forbidden":
            known = _known(request, error["loc"][1:-1])
            return f"unknown field. {unknown_names(error['loc'][-1:], known, 'field')}" if known else "unknown field"
        case "missing":
            return "is required"
        case "json_invalid":
            return "not valid JSON"
        case "value_error":
            return str(error["ctx"]["error"])
        case _:
            text = str(error["msg"])
            return text[:1].lower() + text[1:]


def _known(request: Request, path: Sequence[Any]) -> set[str]:
    """Names of the body's fields, or of the fields of the model at `path` in it; empty if they are not known."""
    field = getattr(request.scope.get("route"), "body_field", None)
    model = field.field_info.annotation if field else None
    for name in path:
        known = getattr(model, "model_fields", {})
        model = known[name].annotation if name in known else None
    return set(getattr(model, "model_fields", {}))


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route for OpenAPI."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }
