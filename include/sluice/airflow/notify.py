"""Notifications about runs that fail or are late: to the log, and to a webhook if `SLUICE_NOTIFY_URL` is set.

The message is JSON: `{"event", "dag_id", "run_id", "text"}`. If the webhook fails or does not answer within 10 s, that
is logged and not retried: a notification must never cause another failure.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseNotifier

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)
_TIMEOUT_S = 10.0


class RunFailed(BaseNotifier):
    """Airflow notifier for `on_failure_callback` of a DAG."""

    def notify(self, context: Context) -> None:
        dag_run = context.get("dag_run")
        dag_id = getattr(dag_run, "dag_id", None) or str(getattr(context.get("dag"), "dag_id", "?"))
        run_id = str(getattr(dag_run, "run_id", "?"))
        reason = context.get("reason") or context.get("exception") or "a task failed"
        tell("run_failed", dag_id, run_id, f"{dag_id} {run_id} failed: {reason}. Its runbook is the DAG's page.")


async def deadline_missed(context: dict[str, Any] | None = None, **_: Any) -> None:
    """Callback of the DAG's deadline; runs in the triggerer. The context holds only `dag_run` and `deadline`. Airflow
    also calls this for a run that has failed already; then it sends nothing."""
    dag_run = (context or {}).get("dag_run") or {}
    run = dag_run if isinstance(dag_run, dict) else vars(dag_run)
    if run.get("state") == "failed":
        return
    dag_id, run_id = str(run.get("dag_id", "?")), str(run.get("dag_run_id") or run.get("run_id", "?"))
    await asyncio.to_thread(tell, "deadline_missed", dag_id, run_id, f"{dag_id} {run_id} is late; it continues.")


def tell(event: str, dag_id: str, run_id: str, text: str) -> None:
    """Logs the event and sends it to the webhook, if one is set. A failure to send is logged, not raised."""
    log.warning("sluice %s: %s", event, text)
    url = _url()
    if not url:
        return
    import httpx

    try:
        message = {"event": event, "dag_id": dag_id, "run_id": run_id, "text": text}
        httpx.post(url, json=message, timeout=_TIMEOUT_S).raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        log.warning("sluice: the webhook did not accept the message (%s)", type(error).__name__)


def _url() -> str:
    from sluice.errors import BadRequest
    from sluice.settings import Settings

    try:
        return Settings().notify_url.get_secret_value()
    except (ValueError, BadRequest) as error:  # a wrong setting; the tasks report it themselves
        log.warning("sluice: the settings are not valid, so no webhook is called (%s)", type(error).__name__)
        return ""
