"""From a task in Airflow's UI to the gate results of its run."""

from __future__ import annotations

from typing import Any

from airflow.sdk import BaseOperatorLink


class GateResults(BaseOperatorLink):
    """On `finish` of `sluice_ingest`. The address is kept when the task ends, so that the API server asks nobody."""

    name = "Gate results"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """`ti_key`: the running task instance. Empty (no link) where the scan did not get to a run."""
        from sluice.airflow.ingest import RUN_KEY
        from sluice.flow import gates_page

        run_id = ti_key.xcom_pull(task_ids="plan", key=RUN_KEY)
        return address(gates_page(run_id, ti_key.get_template_context()["params"]["tenant"])) if run_id else ""


def address(path: str) -> str:
    from airflow.sdk.configuration import conf

    base: str = conf.get("api", "base_url", fallback="")
    return base.rstrip("/") + path
