"""POST /documents: keep an upload, sealed, and queue the run that takes it in, in the caller's name."""

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

from sluice.access import grants
from sluice.api.auth import Caller
from sluice.api.backend import Backend, backend_of
from sluice.api.limits import FORM_TIMEOUT_S, MAX_UPLOAD_BYTES
from sluice.api.problems import documented
from sluice.errors import Forbidden, Full
from sluice.model.grants import Grant, Principal
from sluice.model.metadata import MAX_DEPTH, checked, unique
from sluice.ports.tools import Tools
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
        "collection": {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,62}$"},
        "title": {"type": "string", "maxLength": 1000},
        "metadata": {"type": "string", "description": "A JSON object; searches may filter on declared fields."},
    },
}


class Accepted(BaseModel):
    upload_id: UUID = Field(description="The same for the same tenant, collection and name.")
    external_id: str
    collection: str
    source: str = Field(description="The source that the document is part of.")
    dag_run_id: str = Field(description="The run of `sluice_ingest` that takes it in.")


class _InMemory(MultiPartParser):
    spool_max_size = MAX_UPLOAD_BYTES + 1  # what is to be sealed never lies readable on a disk


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
    """Send one document (multipart). A name that was sent before is replaced. It can be found when the run is done;
    who may read it is decided by the source, which is for everyone in the tenant unless a run says otherwise. With
    the session cookie, the header `X-Sluice-Request` is required. 409: the tenant's quota has no room for it."""
    trigger: Trigger | None = request.app.state.trigger
    if trigger is None:
        raise HTTPException(501, "Uploads need Airflow, which this service runs without.")
    if not caller.may_write:
        raise _forbidden(caller, f"may not write to tenant {caller.tenant}")
    backend = backend_of(request)
    with backend.forms.slot(caller.name):
        try:
            with anyio.fail_after(FORM_TIMEOUT_S):
                form = await _form(request)
        except TimeoutError:
            raise HTTPException(408, f"The form did not arrive within {FORM_TIMEOUT_S:.0f} s.") from None
        return await backend.calls.run(lambda: _keep(backend, trigger, caller, form))


def _keep(backend: Backend, trigger: Trigger, caller: Principal, form: _Form) -> Accepted:
    tools = backend.tools
    source = uploads.source_uri(caller.tenant, form.collection)
    check_writer(tools, caller, form.collection, source)
    _check_quota(backend, caller.tenant, form)
    upload = uploads.store(
        tools.blobs,
        tools.keyring,
        tenant=caller.tenant,
        collection=form.collection,
        name=form.name,
        content=form.content,
        title=form.title,
        metadata=form.metadata,
    )
    run = trigger({"source": source, "collection": form.collection, "tenant": caller.tenant}, caller.name)
    return Accepted(upload_id=upload, external_id=form.name, collection=form.collection, source=source, dag_run_id=run)


def check_writer(tools: Tools, caller: Principal, collection: str, source: str) -> None:
    """What the run that is queued will check, too. Raises Forbidden."""
    if not caller.may_write:
        raise _forbidden(caller, f"may not write to tenant {caller.tenant}")
    saved = tools.ledger.sources.spec(caller.tenant, collection, source)
    if not grants.may_repeat(Grant(caller.name, caller.tenant, caller.groups, caller.may_write), saved):
        raise _forbidden(caller, f"may not write to {source}, which is for groups that they do not hold")


def _check_quota(backend: Backend, tenant: str, form: _Form) -> None:
    """Raises Full before anything is kept. Of a name that was sent before the run decides: it may not grow."""
    tools, place = backend.tools, {"tenant": tenant, "collection": form.collection, "name": form.name}
    if not backend.quotas.fits(tools.ledger, tenant, len(form.content)) and not uploads.known(
        tools.blobs, tools.keyring, **place
    ):
        raise Full(
            f"Tenant {tenant} has no room for it: its quota is reached. Nothing was kept. Remove documents, also those "
            "in quarantine, or ask an operator for more (`sluice tenants set`)."
        )


async def _form(request: Request) -> _Form:
    """Raises RequestValidationError, which names the field, and HTTPException 413."""
    parser = _InMemory(request.headers, request.stream(), max_files=1, max_fields=4, max_part_size=_MAX_FIELD_BYTES)
    try:
        found = await parser.parse()
    except (MultiPartException, KeyError) as error:  # KeyError: no boundary
        raise _invalid("body", f"it is not a form as multipart/form-data describes it: {error}") from error
    try:
        return await _checked(found)
    finally:
        await found.close()


async def _checked(found: FormData) -> _Form:
    if unknown := sorted(set(found) - set(_FORM["properties"])):
        raise _invalid(unknown[0][:80], f"there is no such field; there are {', '.join(_FORM['properties'])}")
    if twice := next((name for name in found if len(found.getlist(name)) > 1), None):
        raise _invalid(twice, "send it once")
    file, collection, title = found.get("file"), found.get("collection"), found.get("title")
    if not isinstance(file, UploadFile) or not file.filename:
        raise _invalid("file", "send one file with a name")
    if not isinstance(collection, str):
        raise _invalid("collection", "name the collection")
    content = await file.read(MAX_UPLOAD_BYTES + 1)
    if title is not None and (not isinstance(title, str) or len(title) > 1000):
        raise _invalid("title", "at most 1,000 characters")
    try:
        metadata = json.loads(str(found.get("metadata") or "{}"), object_pairs_hook=unique)
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


def _forbidden(caller: Principal, what: str) -> Forbidden:
    return Forbidden(f"{caller.name} {what}. Nothing was kept. An operator can allow it with `sluice grant`.")
