"""Bodies of the tasks of `sluice_retention`."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypedDict
from uuid import UUID, uuid4

from sluice.airflow import dependencies, permission
from sluice.errors import Busy

log = logging.getLogger(__name__)


class Expired(TypedDict):
    """XCom of `look`."""

    as_of: str  # a time, ISO 8601
    documents: int
    chunks: int
    apply: bool  # whether this run removes
    listed: str  # path of the documents' ids in object storage


def look(params: Mapping[str, Any], dag_run: Any) -> Expired:
    """Lists expired documents in the log, one line each. If this run is to delete them, their ids go to object storage.
    Returns their number, the time they are expired at, and the path of the ids.

    A user's run lists and deletes only documents that the user may write; a scheduled run all. Raises Forbidden if the
    run should have a user and has none.
    """
    from sluice.access import ingestion

    ids, chunks = [], 0
    user = permission.triggered_by(dag_run)
    with dependencies.opened() as sluice:
        as_of = sluice.ledger.retention.clock()
        may = ingestion.may_repeat(sluice.ledger.grants, user)
        for each in sluice.purging.expired(as_of, params["collection"] or None, may=may):
            ids.append(str(each.document_id))
            chunks += each.chunks
            log.info(
                "sluice: expired %s: %s of %s in %s, %d chunks, at %s",
                *(each.document_id, each.external_id, each.tenant, each.collection, each.chunks),
                each.expired_at.isoformat(),
            )
        nightly = sluice.settings.retention_apply and permission.run_kind(dag_run) == "scheduled"
        apply = not params["dry_run"] or nightly
        list_path = f"purges/{uuid4()}.json"
        if apply and ids:
            sluice.blobs.write(list_path, json.dumps(ids).encode())
    expired = Expired(as_of=as_of.isoformat(), documents=len(ids), chunks=chunks, apply=apply, listed=list_path)
    log.info("sluice: %s", json.dumps(expired))
    return expired


def prune(expired: Expired, dag_run: Any) -> dict[str, Any]:
    """Counts history that is no longer used, and removes it if the nightly run is set to remove. History belongs to no
    single tenant, so a run that a user triggered only counts."""
    apply = expired["apply"] and permission.triggered_by(dag_run) is None
    with dependencies.opened() as sluice:
        report = sluice.pruning.prune(apply=apply).to_json()
    log.info("sluice: prune %s", json.dumps(report))
    return report


def way(expired: Expired, approve_above: int) -> str | None:
    """The next task: `purge`; `approve` above `approve_above` documents; None if there is nothing to delete."""
    if not expired["apply"] or not expired["documents"]:
        return None
    return "approve" if expired["documents"] > approve_above else "purge"


def purge(params: Mapping[str, Any], expired: Expired, dag_run: Any) -> dict[str, Any]:
    """Deletes exactly the documents that `look` listed. Raises Busy if an ingest holds the lease of a source."""
    with dependencies.opened() as sluice:
        report = sluice.purging.purge(
            datetime.fromisoformat(expired["as_of"]),
            collection=params["collection"] or None,
            orchestrator=f"airflow:{dag_run.dag_id}/{dag_run.run_id}",
            only={UUID(each) for each in json.loads(sluice.blobs.read(expired["listed"]))},
        )
        log.info("sluice: purge %s", json.dumps(report.to_json()))
        if report.left:
            raise Busy(f"{len(report.left)} sources were skipped: {report.left[0]}")
    return {"as_of": report.as_of.isoformat(), "documents": report.documents, "chunks": report.chunks}
