"""Start a DAG run for someone who called the query service, in their name: the run checks what they may do."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from sluice.errors import Unavailable

log = logging.getLogger(__name__)
_LOOK = "Look at the log of the API server and at Airflow's database, then try again."


def trigger_ingest(conf: Mapping[str, Any], caller: str) -> str:
    """Queue a run of `sluice_ingest`; returns its id. Only in the API server, which may use Airflow's database.
    Raises Unavailable."""
    from airflow.api.common.trigger_dag import trigger_dag
    from airflow.utils.types import DagRunTriggeredByType

    try:
        run = trigger_dag(
            "sluice_ingest",
            triggered_by=DagRunTriggeredByType.REST_API,
            triggering_user_name=caller,
            conf=dict(conf),
        )
    except Exception as error:  # its database, or a DAG that is not there yet: nothing that the caller could change
        log.exception("Airflow could not queue a run")
        raise Unavailable("Airflow", "it could not queue the run", _LOOK) from error
    if run is None:
        raise Unavailable("Airflow", "it queued no run", _LOOK)
    return str(run.run_id)
