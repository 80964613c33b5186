"""What every DAG says of its tasks: a retry where it helps, a limit, and who is told when a run is late."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from airflow.sdk import ExceptionRetryPolicy, Param, RetryAction, RetryRule
from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

from sluice.airflow.notify import deadline_missed

OWNER = "sluice"
RETRIES = ExceptionRetryPolicy(
    rules=[
        RetryRule("sluice.errors.Terminal", RetryAction.FAIL, reason="A retry would fail in the same way"),
        RetryRule("sluice.errors.Transient", RetryAction.RETRY, reason="It may pass: see the error above"),
    ]
)


def defaults(timeout: timedelta, *, retries: int = 3, first_delay_s: int = 10, **more: Any) -> dict[str, Any]:
    """`default_args`: delays double up to ten minutes; `timeout` is of one attempt."""
    return {
        "owner": OWNER,
        "retries": retries,
        "retry_delay": timedelta(seconds=first_delay_s),
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": timedelta(minutes=10),
        "retry_policy": RETRIES,
        "execution_timeout": timeout,
        "pre_execute": begin,
        **more,
    }


# What the OpenLineage provider adds to the conf of a run that another DAG's task triggers: its parent run.
_OF_PROVIDERS = {"openlineage"}


def switch(default: bool, **schema: Any) -> Param:
    """A yes or no of a form. Airflow marks each field whose schema has a `type` as one to be filled in."""
    return Param(default, allOf=[{"type": "boolean"}], **schema)


def form(params: dict[str, Param]) -> dict[str, Param]:
    """The params of a DAG. Airflow checks their schemas some ten times a task: by draft 7 in a third of the time."""
    for param in params.values():
        param.schema["$schema"] = "http://json-schema.org/draft-07/schema#"
    return params


def begin(context: Mapping[str, Any]) -> None:
    """Before every task. Raises BadRequest."""
    from sluice.airflow.task_log import shorten_own_errors

    shorten_own_errors()
    refuse_unknown_conf(context)


def refuse_unknown_conf(context: Mapping[str, Any]) -> None:
    """A run's conf may hold params of its DAG and nothing else. Airflow takes any key, and a
    misspelled `access_groups` would leave a source open to its whole tenant. Raises BadRequest."""
    from sluice.errors import BadRequest
    from sluice.model.spelling import unknown_names

    dag, conf = context["dag"], (context["dag_run"].conf or {}).keys() - _OF_PROVIDERS
    if unknown := unknown_names(conf, set(dag.params), f"param of {dag.dag_id} called"):
        raise BadRequest(f"{unknown} Nothing was read or changed. Correct the run's conf and trigger it again.")


def late_after(interval: timedelta, name: str) -> list[DeadlineAlert]:
    """`deadline`: counted from when the run is queued. The log is told, and `SLUICE_NOTIFY_URL`; the run goes on."""
    return [
        DeadlineAlert(
            reference=DeadlineReference.DAGRUN_QUEUED_AT,
            interval=interval,
            callback=AsyncCallback(deadline_missed),
            name=name,
        )
    ]
