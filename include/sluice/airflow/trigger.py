"""Triggers a DAG run for a caller of the query service, in the caller's name. The run checks the caller's grants."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from sluice.airflow.notes import DAG_ID
from sluice.errors import Unavailable

log = logging.getLogger(__name__)
_TO_SCAN = (None, "scheduled", "queued", "up_for_retry", "up_for_reschedule")  # states of `plan` before its next try
_LOOK = "Look at the log of the API server and at Airflow's database, then try again."


def trigger_ingest(conf: Mapping[str, Any], caller: str) -> str:
    """Queues a run of `sluice_ingest`, or reuses one that has not scanned yet; returns its id. Only for the API server,
    which may use Airflow's database. Raises Unavailable."""
    from airflow.api.common.trigger_dag import trigger_dag
    from airflow.utils.types import DagRunTriggeredByType

    try:
        if waiting := _waiting(conf, caller):
            return waiting
        run = trigger_dag(
            DAG_ID, triggered_by=DagRunTriggeredByType.REST_API, triggering_user_name=caller, conf=dict(conf)
        )
    except Exception as error:  # Airflow's database, or a missing DAG: the caller cannot correct it
        log.exception("Airflow could not queue a run")
        raise Unavailable("Airflow", "it could not queue the run", _LOOK) from error
    if run is None:
        raise Unavailable("Airflow", "it queued no run", _LOOK)
    return str(run.run_id)


def _waiting(conf: Mapping[str, Any], caller: str) -> str | None:
    """The id of a run with the same caller and conf that has not scanned yet. Its scan will find the new upload. So
    many uploads in a row need one active and one waiting run, and do not delay the runs of others."""
    from airflow.models import DagRun, TaskInstance
    from airflow.utils.session import create_session

    plan = (TaskInstance.dag_id == DagRun.dag_id) & (TaskInstance.run_id == DagRun.run_id)
    with create_session() as session:
        runs = (
            session.query(DagRun.run_id, DagRun.conf, TaskInstance.state)
            .outerjoin(TaskInstance, plan & (TaskInstance.task_id == "plan"))
            .filter(DagRun.dag_id == DAG_ID, DagRun.state.in_(("queued", "running")))
            .filter(DagRun.triggering_user_name == caller)
            .all()
        )
    return next((run_id for run_id, given, state in runs if given == dict(conf) and state in _TO_SCAN), None)
