"""Body of the task of `sluice_reconcile`."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sluice.airflow import dependencies
from sluice.errors import Disagreement

if TYPE_CHECKING:
    from sluice.maintenance.reconciliation import ReconciliationReport

log = logging.getLogger(__name__)


def compare(params: Mapping[str, Any]) -> dict[str, Any]:
    """Compares the stores, repairs them if set, and logs the report. Raises Disagreement if differences remain."""
    with dependencies.opened() as sluice:
        report = sluice.reconciliation.reconcile(
            collection=params["collection"] or None,
            repair=params["repair"],
            deep=params["deep"],
            collect_garbage=params["sweep"],
            page_chunks=params["page_chunks"],
        )
    result = report.to_json()
    log.info("sluice: reconciliation %s", json.dumps(result))
    if not report.ok:
        raise Disagreement(
            f"The stores differ from the ledger: {report.missing} missing, {report.surplus} surplus, "
            f"{report.stale} stale, {report.repaired} repaired. Search results stay correct, because the ledger "
            f"decides which passages are shown. {_advice(report)}"
        )
    return result


def _advice(report: ReconciliationReport) -> str:
    lost = report.objects.missing + report.objects.stale
    advice = "" if report.repair else "Run it with repair to correct the projections. "
    if lost:
        advice += (
            f"Lost uploads: {lost} (objects in the log). Upload them again, or let their source's run delete them."
        )
    return advice or "Run it again."
