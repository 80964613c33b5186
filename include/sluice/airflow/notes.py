"""The note of a run of `sluice_ingest`: its collection and source from the start, and its result at the end.

A task cannot set the note of its run (the Task API has no call for it), so a listener does: the scheduler calls it
when a run starts and ends, while the run is in its session. Tasks leave the result in XCom, as one line. A note that a
person wrote stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.listeners import hookimpl

from sluice.airflow import xcom

DAG_ID = "sluice_ingest"
_DEFAULT_COLLECTION = "docs"  # of the form
_LONGEST = 1000  # characters, of Airflow's column
_SOURCE_CHARS = 400
_THEN = " → "


class RunNotes:
    """A listener of Airflow. Airflow logs its errors and continues."""

    @hookimpl
    def on_dag_run_running(self, dag_run: Any, msg: str) -> None:
        if dag_run.dag_id == DAG_ID and not dag_run.note:
            dag_run.note = opening(dag_run.conf)

    @hookimpl
    def on_dag_run_success(self, dag_run: Any, msg: str) -> None:
        _complete(dag_run)

    @hookimpl
    def on_dag_run_failed(self, dag_run: Any, msg: str) -> None:
        _complete(dag_run)


def opening(conf: Mapping[str, Any] | None) -> str:
    """The first note, `docs: file:///data/handbook`, with the run's unusual options in brackets."""
    params = conf or {}
    source = str(params.get("source") or "?")
    if len(source) > _SOURCE_CHARS:
        source = f"{source[: _SOURCE_CHARS - 50]}…{source[-49:]}"
    tenant, collection = params.get("tenant") or "default", params.get("collection") or _DEFAULT_COLLECTION
    place = str(collection) if tenant == "default" else f"{tenant}/{collection}"
    unusual = [
        words
        for words, holds in (
            ("dry run", params.get("dry_run")),
            ("replay", params.get("replay") is not None),
            ("full", params.get("mode") == "full"),
        )
        if holds
    ]
    return f"{place}: {source}" + (f" ({', '.join(unusual)})" if unusual else "")


def completed(note: str | None, conf: Mapping[str, Any] | None, planned: str) -> str | None:
    """The note with the run's result in its first line, because a run's page shows only that line. Lines that a person
    added below stay. A note that this listener did not write is not changed."""
    ours = opening(conf)
    first, *more = (note or "").split("\n")
    if first != ours and not first.startswith(f"{ours}{_THEN}"):
        return note
    return "\n".join([f"{ours}{_THEN}{planned}", *more])[:_LONGEST]


def _complete(dag_run: Any) -> None:
    if dag_run.dag_id == DAG_ID and (planned := _planned(dag_run)):
        dag_run.note = completed(dag_run.note, dag_run.conf, planned)


def _planned(dag_run: Any) -> str | None:
    """The result that `finish` left in XCom, else that of `plan`."""
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    lines: Any = XComModel.get_many(run_id=dag_run.run_id, dag_ids=DAG_ID, task_ids=["plan", "finish"], key=xcom.NOTE)
    with create_session(scoped=False) as session:  # the scheduler's own must not be committed here
        by_task = {row.task_id: row.value for row in session.scalars(lines) if isinstance(row.value, str)}
    return by_task.get("finish") or by_task.get("plan")
