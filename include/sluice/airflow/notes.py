"""The note of a run: what it works on from the start, and its result or its error at the end.

A task cannot set the note of its run (the Task API has no call for it), so a listener does: the scheduler calls it
when a run starts and ends, while the run is in its session. It reads the result from XCom. A note that a person wrote
stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.listeners import hookimpl

from sluice.airflow import results, xcom

DAG_ID = "sluice_ingest"
# What a run works on if its conf names no collection.
_EVERYTHING = {
    DAG_ID: "docs",  # the form's default
    "sluice_ingest_all": "saved sources",
    "sluice_reconcile": "all collections",
    "sluice_retention": "all collections",
    "sluice_evaluate": "all golden sets",
}
_LONGEST = 1000  # characters, of Airflow's column
_SOURCE_CHARS = 400
_THEN = " → "


class RunNotes:
    """A listener of Airflow. Airflow logs its errors and continues."""

    @hookimpl
    def on_dag_run_running(self, dag_run: Any, msg: str) -> None:
        if dag_run.dag_id in results.BY_DAG and not dag_run.note:
            dag_run.note = opening(dag_run.conf, dag_run.dag_id)

    @hookimpl
    def on_dag_run_success(self, dag_run: Any, msg: str) -> None:
        _complete(dag_run, succeeded=True)

    @hookimpl
    def on_dag_run_failed(self, dag_run: Any, msg: str) -> None:
        _complete(dag_run, succeeded=False)


def leave_error(context: Mapping[str, Any]) -> None:
    """`on_failure_callback` of a task: leaves its error in XCom, for the run's note; see `shown_text`."""
    from sluice.errors import shown_text

    ti, reason = context["ti"], shown_text(context.get("exception"))
    ti.xcom_push(key=xcom.ERROR, value=f"failed in {ti.task_id}: {reason}"[:_LONGEST])


def opening(conf: Mapping[str, Any] | None, dag_id: str = DAG_ID) -> str:
    """The first note, such as `docs: file:///data/handbook`, with the run's unusual options in brackets."""
    params = conf or {}
    tenant, collection = params.get("tenant") or "default", params.get("collection") or _EVERYTHING[dag_id]
    place = str(collection) if tenant == "default" else f"{tenant}/{collection}"
    if dag_id == DAG_ID:
        place = f"{place}: {_source(params)}"
    options = {"dry run": params.get("dry_run"), "replay": params.get("replay") is not None}
    options |= {"full": params.get("mode") == "full", **{name: params.get(name) for name in ("all", "repair", "deep")}}
    unusual = [words for words, holds in options.items() if holds]
    return place + (f" ({', '.join(unusual)})" if unusual else "")


def completed(note: str | None, opened: str, result: str) -> str | None:
    """The note with the run's result in its first line, because a run's page shows only that line. Lines that a person
    added below stay. `opened`: the run's `opening`. A note that this listener did not write is not changed."""
    first, *more = (note or "").split("\n")
    if first != opened and not first.startswith(f"{opened}{_THEN}"):
        return note
    line = result.replace("\n", " ")
    return "\n".join([f"{opened}{_THEN}{line}", *more])[:_LONGEST]


# --- details ------------------------------------------------------------------------------------------------


def _source(params: Mapping[str, Any]) -> str:
    source = str(params.get("source") or "?")
    return source if len(source) <= _SOURCE_CHARS else f"{source[: _SOURCE_CHARS - 50]}…{source[-49:]}"


def _complete(dag_run: Any, *, succeeded: bool) -> None:
    if dag_run.dag_id not in results.BY_DAG or not dag_run.note:
        return
    if line := _line(dag_run, succeeded):
        dag_run.note = completed(dag_run.note, opening(dag_run.conf, dag_run.dag_id), line)


def _line(dag_run: Any, succeeded: bool) -> str | None:
    """The run's result by the XComs of its tasks; of a failed run its first error. None: the tasks left neither."""
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    wanted = XComModel.key == xcom.ERROR
    for task_id, key in results.READ[dag_run.dag_id]:
        wanted |= (XComModel.task_id == task_id) & (XComModel.key == key)
    every: Any = XComModel.get_many(run_id=dag_run.run_id, dag_ids=dag_run.dag_id)
    query = every.where(wanted).order_by(None).order_by(XComModel.timestamp)
    with create_session(scoped=False) as session:  # the scheduler's own must not be committed here
        rows = [(row.task_id, row.key, row.value) for row in session.scalars(query)]
    errors = [value for _, key, value in rows if key == xcom.ERROR]
    if errors and not succeeded:
        return str(errors[0])
    return results.BY_DAG[dag_run.dag_id]({(task_id, key): value for task_id, key, value in rows})
