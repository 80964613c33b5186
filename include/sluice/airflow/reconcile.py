"""Body of the task of `sluice_reconcile`."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sluice.maintenance.reconciliation import ReconciliationReport

log = logging.getLogger(__name__)


def compare(params: Mapping[str, Any]) -> dict[str, Any]:
    """Compare, repair where asked, and tell. Raises Disagreement where something differs still."""
    from sluice.airflow.dependencies import opened
    from sluice.errors import Disagreement
    from sluice.maintenance import reconciliation

    with opened() as (tools, _):
        report = reconciliation.reconcile(
            tools,
            collection=params["collection"] or None,
            repair=params["repair"],
            deep=params["deep"],
            sweep=params["sweep"],
            page_chunks=params["page_chunks"],
        )
    told = report.to_json()
    log.info("sluice: reconciliation %s", json.dumps(told))
    if not report.ok:
        raise Disagreement(
            f"The stores are not what the ledger says: {report.missing} missing, {report.surplus} surplus, "
            f"{report.stale} stale, {report.repaired} repaired. Searches stay right, because the ledger decides what "
            f"is shown. {_advice(report)}"
        )
    return told


def _advice(report: ReconciliationReport) -> str:
    lost = report.objects.missing + report.objects.stale
    told = "" if report.repair else "Run it with repair to make the projections right. "
    if lost:
        told += f"Lost uploads: {lost} (objects in the log). Send them again, or let their source's run remove them."
    return told or "Run it again."
