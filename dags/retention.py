"""
# sluice_retention: what has expired goes

A document is unreadable from the moment it expires (`sluice retention`, docs/retention.md); this DAG then takes it out
of the ledger, Qdrant and Neo4j. `look` lists in its log exactly what would go, a line a document. `choose` ends the run
there (a dry run, or nothing has expired), goes on to `purge`, or to `approve` where it is more than `approve_above`.
`purge` removes what was listed, by the way that deletions at a source go, and records each document in the ledger
(`purged_documents`). `prune` counts history that nobody reads any more (superseded text, unused vectors and keys, old
runs, records, events and mirrors; docs/retention.md) and, in a nightly run that removes, removes it; the log of the
task says how much of each kind.

| param | unit | meaning |
|---|---|---|
| collection | name | only this one; empty: all |
| dry_run | yes/no | list only (default) |
| approve_above | documents | where more would go, a person is asked; 0: always |

**Every night** the params are the defaults, so a scheduled run is a dry run, too, unless `SLUICE_RETENTION_APPLY=true`:
then it removes. A run that somebody triggers goes by its own `dry_run` only.

**The approval** waits for three days in the UI (*Required Actions*) without a slot; no answer is a rejection. A
rejected run removes nothing; the next one asks again. While it waits, nothing is added to what was listed, and what has
not expired any more stays.

It may run beside ingests: a purge holds one source at a time, as an ingest does; a source that is at work is left, the
task says so and is tried again with growing delays.

**Who may run it.** A user sees, and has removed, the documents of sources that they may write (`sluice grant`); the
nightly run all.

**Late** after 12 hours, also where it waits for an approval: the deadline's callback tells the log and
`SLUICE_NOTIFY_URL`; the run goes on.

`prune` removes in the nightly run alone, because what it removes belongs to no single tenant; by hand:
`sluice prune --apply`.

**When it fails.** *Clear* the task `purge` or `prune`, or trigger the DAG anew: what is gone is gone, the rest follows.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pendulum
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Param, TriggerRule, dag, task

from sluice.airflow import links, retention
from sluice.airflow.assets import DOCUMENTS
from sluice.airflow.notify import RunFailed
from sluice.airflow.retention import Expired
from sluice.airflow.tasks import defaults, form, late_after, switch
from sluice.model.names import NAME_PATTERN

PARAMS = {
    "collection": Param(
        None,
        type=["string", "null"],
        pattern=NAME_PATTERN,
        title="Collection",
        description_md="Only this one. Empty: all",
    ),
    "dry_run": switch(
        True,
        title="Dry run",
        description_md="List what has expired, in the log of the task *look*. Off: remove it",
    ),
    "approve_above": Param(
        1000,
        type="integer",
        minimum=0,
        title="Ask above (documents)",
        description_md="Where more would go, a person is asked first, under "
        f"[Required Actions]({links.address('/required_actions')}). 0: always",
    ),
}


@dag(
    dag_id="sluice_retention",
    description="Remove documents that have expired, and history that nobody reads any more",
    schedule="30 2 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["sluice", "maintenance"],
    doc_md=__doc__,
    params=form(PARAMS),
    max_active_runs=1,
    default_args=defaults(timedelta(hours=6), retries=5, first_delay_s=30),
    on_failure_callback=[RunFailed()],
    deadline=late_after(timedelta(hours=12), "purged or approved within twelve hours"),
)
def sluice_retention() -> None:
    @task(pool="sluice_default", multiple_outputs=False, inlets=[DOCUMENTS])
    def look(params: Any = None, dag_run: Any = None) -> Expired:
        """Lists in its log what has expired, a line a document."""
        return retention.look(params, dag_run)

    @task.branch(pool="sluice_default")
    def choose(found: Expired, params: Any = None) -> Any:
        """Ends the run (a dry run, or nothing has expired), goes on to `purge`, or has a person asked before."""
        return retention.way(found, params["approve_above"])

    # Not ALL_DONE: a rejection has to skip it, and a failure before it has to fail the run.
    @task(pool="sluice_load", multiple_outputs=False, trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS)
    def purge(found: Expired, params: Any = None, dag_run: Any = None) -> dict:
        """Removes what `look` has listed from all stores, and records each document."""
        return retention.purge(params, found, dag_run)

    @task(pool="sluice_load", multiple_outputs=False)
    def prune(found: Expired, dag_run: Any = None) -> dict:
        """Counts history that nobody reads any more; the nightly run that removes also removes it."""
        return retention.prune(found, dag_run)

    approve = ApprovalOperator(
        task_id="approve",
        pool="sluice_default",
        doc_md="Asks a person, for three days. No answer is a rejection.",
        subject="Remove documents that have expired?",
        body="{{ ti.xcom_pull(task_ids='look')['documents'] }} documents with "
        "{{ ti.xcom_pull(task_ids='look')['chunks'] }} chunks have expired. They cannot be read any more; approved, "
        "they are taken out of all stores. The log of the task *look* lists them.",
        defaults="Reject",
        response_timeout=timedelta(days=3),
        execution_timeout=timedelta(days=4),
    )
    found = look()
    chosen = choose(found)
    removed = purge(found)
    prune(found)
    chosen >> [approve, removed]
    approve >> removed


sluice_retention()
