"""Bodies of the tasks of `sluice_retention`."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sluice.ports import Tools
    from sluice.settings import Settings

log = logging.getLogger(__name__)


def look(params: Mapping[str, Any], dag_run: Any) -> dict[str, Any]:
    """List exactly what would go, a line a document, in this log. Returns how much it is, as of when, and whether this
    run is to remove it."""
    from sluice import flow

    documents = chunks = 0
    with _tools() as (tools, settings):
        as_of = tools.ledger.clock()
        for each in flow.expired(tools, as_of, params["collection"] or None):
            documents, chunks = documents + 1, chunks + each.chunks
            log.info(
                "sluice: expired %s: %s of %s in %s, %d chunks, at %s",
                *(each.document_id, each.external_id, each.tenant, each.collection, each.chunks),
                each.expired_at.isoformat(),
            )
        apply = not params["dry_run"] or (settings.retention_apply and _scheduled(dag_run))
    found = {"as_of": as_of.isoformat(), "documents": documents, "chunks": chunks, "apply": apply}
    log.info("sluice: %s", json.dumps(found))
    return found


def way(found: Mapping[str, Any], approve_above: int) -> str | None:
    """The task that comes next: None where nothing is to be removed, and a person is asked where it is much."""
    if not found["apply"] or not found["documents"]:
        return None
    return "approve" if found["documents"] > approve_above else "purge"


def purge(params: Mapping[str, Any], found: Mapping[str, Any], dag_run: Any) -> dict[str, Any]:
    """Remove what `look` has listed, and no more. Raises Busy where an ingest held a source."""
    from sluice import flow
    from sluice.errors import Busy

    with _tools() as (tools, _):
        report = flow.purge(
            tools,
            datetime.fromisoformat(found["as_of"]),
            collection=params["collection"] or None,
            orchestrator=f"airflow:{dag_run.dag_id}/{dag_run.run_id}",
            at_most=found["documents"],
        )
    log.info("sluice: purge %s", json.dumps(report))
    if left := [each["left"] for each in report["sources"] if "left" in each]:
        raise Busy(f"{len(left)} sources were left: {left[0]}")
    return {name: report[name] for name in ("as_of", "documents", "chunks")}


def _scheduled(dag_run: Any) -> bool:
    kind = getattr(dag_run, "run_type", None)
    return getattr(kind, "value", kind) == "scheduled"  # an enum whose str() is not its value


@contextmanager
def _tools() -> Iterator[tuple[Tools, Settings]]:
    from airflow.sdk import ObjectStoragePath

    from sluice.airflow.connections import settings_from_airflow
    from sluice.wiring import build

    settings = settings_from_airflow()
    tools = build(settings, root=ObjectStoragePath(settings.artefacts))
    try:
        yield tools, settings
    finally:
        tools.close()
