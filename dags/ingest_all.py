"""
# sluice_ingest_all: every saved source, when it is due

Ingests each saved source by a run of `sluice_ingest` with the saved options: nightly (01:00 UTC), or by its own
schedule (`sluice sources set`). The DAG runs every 15 minutes and ingests the sources that have become due. An asset
event starts it at once for the source that the event names.

`plan` chooses the sources. `ingest` is mapped over them and waits in the triggerer, without a worker's slot. `report`
lists the result of each source; it fails if one failed, with its name and the reason. A source that fails does not stop
the others.

| param | unit | meaning |
|---|---|---|
| all | yes/no | all saved sources that are not paused, due or not |
| collection | name | only of this collection; empty: of all |
| tenant | name | only of this tenant; empty: of all |

The note of a run has the number of ingested and of skipped sources, or the reasons of failures.

**Skipped sources.** The logs of `plan` and `report` name them:

- paused sources
- sources whose lease another run holds; they stay due, so a later run ingests them
- sources whose earlier run has not started yet; `ingest` is skipped
- sources beyond the first 1,000; the next run continues with them

**Events.** An event of the asset `sluice_source_changed` with the extra
`{"tenant": …, "collection": …, "source": <uri>}` ingests the saved source; several simultaneous events are one run. An
event that names no saved source fails alone. If another run holds the lease of the source, the ingest is retried with
growing delays and then skipped; the log of `report` has the reason. Send the event again. See docs/sources.md.

**Who may run it.** A user's run ingests the sources that the user may write (`sluice grant`), in the user's name. A
scheduled run or an event has no user and may only ingest saved sources with their saved options.

**When it fails.** `report` names the sources and the reasons. The mapped task `ingest` links to the run of
`sluice_ingest` that failed: clear its failed tasks, or trigger `sluice_ingest`, or wait until the source is due again.
Clearing `ingest` here skips it, because its run exists already. Triggering this DAG again is always safe.

**Late** after 4 hours: the deadline's callback writes to the log and calls `SLUICE_NOTIFY_URL`; the run continues.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pendulum
from airflow.sdk import (
    AssetOrTimeSchedule,
    CronTriggerTimetable,
    Param,
    TriggerRule,
    dag,
    task,
)

from sluice.airflow import ingest_all, links
from sluice.airflow.assets import CHANGED
from sluice.airflow.dag_defaults import defaults, form, late_after, switch
from sluice.airflow.ingest_saved import IngestSaved
from sluice.airflow.notify import RunFailed
from sluice.model.names import NAME_PATTERN

PARAMS = {
    "all": switch(
        False,
        title="All sources",
        description_md=f"Ingest all [saved sources]({links.address('/sluice/api/v1/sources')}) that are not paused. "
        "Off: only those that are due",
    ),
    "collection": Param(
        None,
        type=["string", "null"],
        pattern=NAME_PATTERN,
        title="Collection",
        description_md="Only sources of this collection. Empty: of all collections",
    ),
    "tenant": Param(
        None,
        type=["string", "null"],
        pattern=NAME_PATTERN,
        title="Tenant",
        description_md="Only sources of this tenant. Empty: of all tenants",
    ),
}


@dag(
    dag_id="sluice_ingest_all",
    description="Every saved source, when it is due: nightly or by its own schedule",
    schedule=AssetOrTimeSchedule(timetable=CronTriggerTimetable("*/15 * * * *", timezone="UTC"), assets=[CHANGED]),
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["sluice", "ingest"],
    doc_md=__doc__,
    params=form(PARAMS),
    max_active_runs=8,
    default_args=defaults(timedelta(minutes=15)),
    on_failure_callback=[RunFailed()],
    deadline=late_after(timedelta(hours=4), "every source within four hours"),
)
def sluice_ingest_all() -> None:
    @task(pool="sluice_default", inlets=[CHANGED])
    def plan(
        params: Any = None,
        dag_run: Any = None,
        ti: Any = None,
        triggering_asset_events: Any = None,
        inlet_events: Any = None,
    ) -> list[dict]:
        """Chooses the sources that are due, or that asset events name; each becomes a run of `sluice_ingest`."""
        events = ingest_all.events(dag_run, triggering_asset_events.get(CHANGED, []), inlet_events[CHANGED])
        return ingest_all.plan(params, dag_run, ti, events)

    @task(pool="sluice_default", multiple_outputs=False, trigger_rule=TriggerRule.ALL_DONE)
    def report(elements: list[dict] | None, dag_run: Any = None, ti: Any = None) -> dict:
        """Lists the result of each source, and fails if one failed."""
        return ingest_all.report(elements, dag_run, ti)

    planned: Any = plan()
    planned.operator.operator_extra_links = (links.SavedSources(),)
    # No retries: the triggered run retries its own tasks. No callback: `report` leaves the reasons for the run's note.
    ingested = IngestSaved.partial(
        task_id="ingest",
        doc_md="Waits for the run of `sluice_ingest` of one source, in the triggerer.",
        pool="sluice_default",
        retries=0,
        on_failure_callback=None,
        poke_interval=10,
        map_index_template="{{ task.title }}",
        execution_timeout=None,
    ).expand_kwargs(planned)
    ingested >> report(planned)


sluice_ingest_all()
