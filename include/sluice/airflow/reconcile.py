"""Body of the task of `sluice_reconcile`."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

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
    log.info("sluice: reconciliation %s", json.dumps(report))
    if not report["ok"]:
        counts = ", ".join(f"{report[name]} {name}" for name in ("missing", "surplus", "stale", "repaired"))
        raise Disagreement(
            f"The stores are not what the ledger says: {counts}. Searches stay right, because the ledger decides what "
            f"is shown. {_advice(report)}"
        )
    return report


def _advice(report: Mapping[str, Any]) -> str:
    objects = report["objects"]
    lost = objects["missing"] + objects["stale"]
    told = "" if report["repair"] else "Run it with repair to make the projections right. "
    if lost:
        told += f"Lost uploads: {lost} (objects in the log). Send them again, or let their source's run remove them."
    return told or "Run it again."
