"""The user who triggered a DAG run, from Airflow. `sluice.access` decides what the user may do."""

from __future__ import annotations

from typing import Any

from sluice.errors import Forbidden

# Types of run that no person starts; Airflow records no user for them. Airflow sets the type, never a request: a run
# from its REST API is `manual` and has its user. A run that another DAG's task triggers is `operator_triggered` and
# inherits the user of that task's run, if there is one.
_UNATTENDED = {"scheduled", "asset_triggered", "operator_triggered"}


def triggered_by(dag_run: Any) -> str | None:
    """The Airflow user; None: no user triggered it. Raises Forbidden if the run should have a user and has none."""
    user: str | None = getattr(dag_run, "triggering_user_name", None)
    kind = run_kind(dag_run)
    if user is None and kind not in _UNATTENDED:
        raise Forbidden(
            f"This run ({kind or 'of an unknown type'}) has no user who triggered it, so access to its tenant cannot "
            "be checked. Nothing was changed. Trigger it again as a user of Airflow."
        )
    return user


def run_kind(dag_run: Any) -> str | None:
    """Airflow's `run_type`: scheduled, manual, …"""
    run_type = getattr(dag_run, "run_type", None)
    return getattr(run_type, "value", run_type)  # an enum whose str() is not its value
