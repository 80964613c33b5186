"""Operator of `sluice_ingest_all`: triggers a run of `sluice_ingest` for one saved source and waits without a slot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class IngestSaved(TriggerDagRunOperator):
    """Its arguments are an element of `ingest_all.plan`. An event that `plan` could not use fails here with the reason.

    A run that exists already was triggered by an earlier run of the DAG: it is skipped, never started again.
    """

    template_fields: Sequence[str] = ()  # a source's URI is data: braces in it must not be rendered by Jinja

    def __init__(self, *, title: str, rejection: str | None = None, **arguments: Any) -> None:
        super().__init__(
            trigger_dag_id="sluice_ingest",
            logical_date=None,
            wait_for_completion=True,
            deferrable=True,
            skip_when_already_exists=True,
            **arguments,
        )
        self.title = title
        self.rejection = rejection

    def execute(self, context: Context) -> None:
        from sluice.errors import BadRequest

        if self.rejection:
            raise BadRequest(self.rejection)
        super().execute(context)
