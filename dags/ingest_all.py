"""
# sluice_ingest_all: every saved source, when it is due

Takes in each saved source by a run of `sluice_ingest`, exactly as it is saved: nightly (01:00 UTC), or by a schedule of
its own (`sluice sources set`). The DAG ticks every quarter of an hour and does only what has become due since; asset
events have it take in the sources that they name, at once.

`plan` chooses; `ingest` is mapped over the sources and waits in the triggerer, without a worker's slot; `report` says
what became of each and fails where one failed, naming it and why. A source that fails does not stop the others.

| param | unit | meaning |
|---|---|---|
| all | yes/no | all saved sources that are not paused, due or not |
| collection | name | only of this collection; empty: of all |
| tenant | name | only of this tenant; empty: of all |

**Skipped sources.** The logs of `plan` and `report` name them: paused sources; sources that another run holds
(they stay due, so a later tick takes them in); sources whose run of an earlier tick still waits to begin (`ingest` is
skipped); what exceeds 1,000 sources (the next tick goes on).

**Events.** An event of the asset `sluice_source_changed` with the extra
`{"tenant": …, "collection": …, "source": <uri>}` has the saved source taken in; several that come together are one run.
An event that names no saved source fails alone. A source that another run holds is tried again with growing delays and
then skipped; the log of `report` says so. Trigger it again. See docs/sources.md.

**Who may run it.** Triggered by a user, it takes in what that user may write (`sluice grant`), in their name. A tick or
an event has nobody's name and may only repeat what is saved.

**When it fails.** `report` names the sources and why. The run of `sluice_ingest` that failed is linked from its element
of `ingest`: clear what failed in it, or trigger `sluice_ingest`, or wait for the next time. Clearing `ingest` here
skips it, because its run is there already. Triggering this DAG anew is always safe.

**Late** after 4 hours: the deadline's callback tells the log and `SLUICE_NOTIFY_URL`; the run goes on.
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
from sluice.airflow.ingest_saved import IngestSaved
from sluice.airflow.notify import RunFailed
from sluice.airflow.tasks import defaults, form, late_after, switch
from sluice.model.names import NAME_PATTERN

PARAMS = {
    "all": switch(
        False,
        title="All sources",
        description_md=f"[Saved sources]({links.address('/sluice/api/v1/sources')}) that are not paused, due or not",
    ),
    "collection": Param(
        None,
        type=["string", "null"],
        pattern=NAME_PATTERN,
        title="Collection",
        description_md="Only of this one. Empty: of all",
    ),
    "tenant": Param(
        None,
        type=["string", "null"],
        pattern=NAME_PATTERN,
        title="Tenant",
        description_md="Only of this one. Empty: of all",
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
        """Says what became of each source, and fails where one failed."""
        return ingest_all.report(elements, dag_run, ti)

    planned: Any = plan()
    planned.operator.operator_extra_links = (links.SavedSources(),)
    # Its run retries what a retry can help; once that has failed, so has this.
    taken_in = IngestSaved.partial(
        task_id="ingest",
        doc_md="Waits for the run of `sluice_ingest` of one source, in the triggerer.",
        pool="sluice_default",
        retries=0,
        poke_interval=10,
        map_index_template="{{ task.title }}",
        execution_timeout=None,
    ).expand_kwargs(planned)
    taken_in >> report(planned)


sluice_ingest_all()
