"""POST /documents: stores an upload encrypted and queues the run that ingests it, in the caller's name."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import anyio
from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser

from sluice.access import ingestion
from sluice.api.auth import Caller
from sluice.api.backend import Backend, backend_of
from sluice.api.limits import FORM_TIMEOUT_S, MAX_UPLOAD_BYTES
from sluice.api.problems import documented
from sluice.errors import Full
from sluice.model.grants import Principal
from sluice.model.metadata import MAX_DEPTH, checked, unique
from sluice.model.names import NAME_PATTERN
from sluice.sources import uploads

Trigger = Callable[[Mapping[str, Any], str], str]
"""(conf of an ingest, name of the caller) → the run's id. Raises Unavailable."""

router = APIRouter(responses=documented(401, 403, 429, 503))

_MAX_FIELD_BYTES = 64 * 1024
_FORM = {
    "type": "object",
    "required": ["file", "collection"],
    "properties": {
        "file": {"type": "string", "format": "binary", "description": "Its name is the document's external id."},
        "collection": {"type": "string", "pattern": NAME_PATTERN},
        "title": {"type": "string", "maxLength": 1000},
        "metadata": {"type": "string", "description": "A JSON object; searches may filter on declared fields."},
    },
}


class Accepted(BaseModel):
    upload_id: UUID = Field(description="The same for the same tenant, collection and name.")
    external_id: str
    collection: str
    source: str = Field(description="The source that the document is part of.")
    dag_run_id: str = Field(description="The run of `sluice_ingest` that ingests it.")


class _InMemory(MultiPartParser):
    spool_max_size = MAX_UPLOAD_BYTES + 1  # an upload is never written to a disk before it is encrypted


@dataclass(frozen=True)
class _Form:
    name: str
    content: bytes
    collection: str
    title: str | None
    metadata: dict[str, Any]


@router.post(
    "/documents",
    status_code=202,
    response_model=Accepted,
    responses=documented(408, 409, 413, 415, 422, 501),
    openapi_extra={"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _FORM}}}},
    tags=["documents"],
)
async def upload_document(request: Request, caller: Caller) -> Accepted:
    """Upload one document (multipart). It replaces an earlier upload with the same name. Searches find it when the run
    has ended. The groups of its source decide who may read it; without groups, everyone in the tenant may. With the
    session cookie, the header `X-Sluice-Request` is required. 409: the tenant's quota is reached."""
    trigger: Trigger | None = request.app.state.trigger
    if trigger is None:
        raise HTTPException(501, "Uploads need Airflow, and this service runs without it. Run `sluice ingest` instead.")
    ingestion.check_writer(caller)
    backend = backend_of(request)
    with backend.forms.slot(caller.name):
        try:
            with anyio.fail_after(FORM_TIMEOUT_S):
                form = await _form(request)
        except TimeoutError:
            raise HTTPException(408, f"The form did not arrive within {FORM_TIMEOUT_S:.0f} s.") from None
        return await backend.calls.run(lambda: _store(backend, trigger, caller, form))


def _store(backend: Backend, trigger: Trigger, caller: Principal, form: _Form) -> Accepted:
    sluice = backend.sluice
    source = uploads.source_uri(caller.tenant, form.collection)
    ingestion.check_sender(sluice.ledger.sources, caller, form.collection, source)
    _check_quota(backend, caller.tenant, form)
    upload = uploads.store(sluice.blobs, sluice.keyring, tenant=caller.tenant, **vars(form))
    run = trigger({"source": source, "collection": form.collection, "tenant": caller.tenant}, caller.name)
    return Accepted(upload_id=upload, external_id=form.name, collection=form.collection, source=source, dag_run_id=run)


def _check_quota(backend: Backend, tenant: str, form: _Form) -> None:
    """Raises Full before anything is stored. For a name that was uploaded before, the run decides instead, because the
    new version may be no larger."""
    sluice, place = backend.sluice, {"tenant": tenant, "collection": form.collection, "name": form.name}
    fits = backend.quotas.fits(sluice.ledger.quotas, tenant, len(form.content))
    if not fits and not uploads.known(sluice.blobs, sluice.keyring, **place):
        raise Full(
            f"The quota of tenant {tenant} is reached. Nothing was stored. Delete documents, also those in quarantine, "
            "or ask an operator for a larger quota (`sluice tenants set`)."
        )


async def _form(request: Request) -> _Form:
    """Reads the form. Raises RequestValidationError, which names the field, and HTTPException 413."""
    parser = _InMemory(request.headers, request.stream(), max_files=1, max_fields=4, max_part_size=_MAX_FIELD_BYTES)
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError) as error:  # KeyError: no boundary
        raise _invalid("body", f"it is not a valid multipart/form-data form: {error}") from error
    try:
        return await _checked(form)
    finally:
        await form.close()


async def _checked(form: FormData) -> _Form:
    if unknown := sorted(set(form) - set(_FORM["properties"])):
        raise _invalid(unknown[0][:80], f"unknown field; use {', '.join(_FORM['properties'])}")
    if twice := next((name for name in form if len(form.getlist(name)) > 1), None):
        raise _invalid(twice, "send it once")
    file, collection, title = form.get("file"), form.get("collection"), form.get("title")
    if not isinstance(file, UploadFile) or not file.filename:
        raise _invalid("file", "send one file with a name")
    if not isinstance(collection, str):
        raise _invalid("collection", "name the collection")
    content = await file.read(MAX_UPLOAD_BYTES + 1)
    if title is not None and (not isinstance(title, str) or len(title) > 1000):
        raise _invalid("title", "at most 1,000 characters")
    try:
        metadata = json.loads(str(form.get("metadata") or "{}"), object_pairs_hook=unique)
        if not isinstance(metadata, dict):
            raise ValueError("send a JSON object")
        metadata = checked(metadata, letters=True)
    except json.JSONDecodeError as error:
        raise _invalid("metadata", "send a JSON object") from error
    except RecursionError as error:
        raise _invalid("metadata", f"it is nested deeper than {MAX_DEPTH} levels") from error
    except ValueError as error:
        raise _invalid("metadata", str(error)) from error
    name = file.filename.replace("\\", "/").rpartition("/")[2]
    return _Form(name, content, collection, title or None, metadata)


def _invalid(field: str, message: str) -> RequestValidationError:
    return RequestValidationError([{"loc": ("body", field), "msg": message, "type": "form"}])
