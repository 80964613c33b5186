"""Who triggered a DAG run, as Airflow tells it. What they may do is decided in `sluice.access`."""

from __future__ import annotations

from typing import Any

from sluice.errors import Forbidden

# Kinds of run that no person starts; Airflow names no user for them. Airflow sets the kind, never a request: what comes
# over its REST API is `manual` and names its user. A run that another DAG's task triggers is `operator_triggered` and
# inherits the user of the run that the task belongs to: none where nobody triggered that one.
_UNATTENDED = {"scheduled", "asset_triggered", "operator_triggered"}


def triggered_by(dag_run: Any) -> str | None:
    """The Airflow user; None where nobody triggered it. Raises Forbidden where the run should name one and does not."""
    user: str | None = getattr(dag_run, "triggering_user_name", None)
    kind = run_kind(dag_run)
    if user is None and kind not in _UNATTENDED:
        raise Forbidden(
            f"This run ({kind or 'of an unknown kind'}) does not say who triggered it, so its tenant cannot be "
            "checked. Nothing was changed. Trigger it again, as a user of Airflow."
        )
    return user


def run_kind(dag_run: Any) -> str | None:
    """Airflow's `run_type`: scheduled, manual, …"""
    found = getattr(dag_run, "run_type", None)
    return getattr(found, "value", found)  # an enum whose str() is not its value
