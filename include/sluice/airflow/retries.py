"""What every DAG's tasks do about an error: a retry where it helps, and none where it would fail in the same way."""

from __future__ import annotations

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

RETRIES = ExceptionRetryPolicy(
    rules=[
        RetryRule("sluice.errors.Terminal", RetryAction.FAIL, reason="A retry would fail in the same way"),
        RetryRule("sluice.errors.Transient", RetryAction.RETRY, reason="A store was down or slow"),
    ]
)
