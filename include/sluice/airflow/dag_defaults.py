"""Defaults that all DAGs share: retries, time limits, deadlines, and the form of their params."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from airflow.sdk import ExceptionRetryPolicy, Param, RetryAction, RetryRule
from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

from sluice.airflow.notes import leave_error
from sluice.airflow.notify import deadline_missed
from sluice.errors import BadRequest

OWNER = "sluice"
RETRIES = ExceptionRetryPolicy(
    rules=[
        RetryRule("sluice.errors.Terminal", RetryAction.FAIL, reason="A retry would fail in the same way"),
        RetryRule("sluice.errors.Transient", RetryAction.RETRY, reason="A retry may help: see the error above"),
    ]
)


def defaults(
    timeout: timedelta, *, retries: int = 3, first_delay_s: int = 10, on_failure: tuple[Callable[..., None], ...] = ()
) -> dict[str, Any]:
    """`default_args`: delays double up to ten minutes; `timeout` is of one attempt. `on_failure`: callbacks beside the
    one that leaves the error for the run's note."""
    return {
        "owner": OWNER,
        "retries": retries,
        "retry_delay": timedelta(seconds=first_delay_s),
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": timedelta(minutes=10),
        "retry_policy": RETRIES,
        "execution_timeout": timeout,
        "pre_execute": begin,
        "on_failure_callback": [leave_error, *on_failure],
    }


# Keys that providers add to a run's conf. OpenLineage adds the parent run if another DAG's task triggered the run.
_OF_PROVIDERS = {"openlineage"}


def switch(default: bool, **schema: Any) -> Param:
    """A yes/no param. It uses `allOf`, because Airflow's form marks a field whose schema has a `type` as required."""
    return Param(default, allOf=[{"type": "boolean"}], **schema)


def form(params: dict[str, Param]) -> dict[str, Param]:
    """The params of a DAG, with JSON Schema draft 7. Airflow checks them about ten times per task, and draft 7 takes a
    third of the time of the default."""
    for param in params.values():
        param.schema["$schema"] = "http://json-schema.org/draft-07/schema#"
    return params


def begin(context: Mapping[str, Any]) -> None:
    """`pre_execute` of every task: shortens Sluice's errors in the log and checks the run's conf. Raises BadRequest.
    A teardown runs with any conf: it ends what the other tasks began, and would only repeat their error."""
    from sluice.airflow.task_log import shorten_sluice_errors

    shorten_sluice_errors()
    if not context["task"].is_teardown:
        check_conf(context)


def check_conf(context: Mapping[str, Any]) -> None:
    """Raises BadRequest if a run's conf has a key that is no param of its DAG. Airflow accepts any key, and a
    misspelled `access_groups` would leave a source open to its whole tenant."""
    from sluice.model.spelling import unknown_names

    dag, conf = context["dag"], (context["dag_run"].conf or {}).keys() - _OF_PROVIDERS
    if unknown := unknown_names(conf, set(dag.params), f"param of {dag.dag_id} called"):
        raise BadRequest(f"{unknown} Nothing was read or changed. Correct the conf and trigger the DAG again.")


def late_after(interval: timedelta, name: str) -> list[DeadlineAlert]:
    """`deadline` of a DAG, counted from when a run is queued. A late run continues; the log and `SLUICE_NOTIFY_URL` get
    a message."""
    queued, callback = DeadlineReference.DAGRUN_QUEUED_AT, AsyncCallback(deadline_missed)
    return [DeadlineAlert(reference=queued, interval=interval, callback=callback, name=name)]
