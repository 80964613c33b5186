"""
# sluice_retention: delete expired documents

A document is unreadable from the moment it expires (`sluice retention`, docs/retention.md); this DAG then deletes it
from the ledger, Qdrant and Neo4j. `look` lists the expired documents in its log, one line each. `choose` ends the run
(a dry run, or nothing has expired), continues with `purge`, or with `approve` above `approve_above` documents. `purge`
deletes the listed documents in the same way as deletions at a source, and records each in the ledger
(`purged_documents`). `prune` counts history that is no longer used: superseded text, unused vectors and keys, old
runs, records, events and mirrors (docs/retention.md). In a nightly run that deletes, it also removes this history. Its
log has the number of each kind.

| param | unit | meaning |
|---|---|---|
| collection | name | only this one; empty: all |
| dry_run | yes/no | list only (default) |
| approve_above | documents | ask a person before more than this many are deleted; 0: always |

The note of a run says how many documents have expired and whether they were deleted, or has the error.

**Every night** the params are the defaults, so a scheduled run is a dry run. With `SLUICE_RETENTION_APPLY=true` it
deletes. A run that a user triggers follows its own `dry_run` only.

**The approval** waits for three days in the UI (*Required Actions*) without a slot; no answer is a rejection. A
rejected run deletes nothing; the next run asks again. While it waits, nothing is added to the list, and documents whose
retention was extended are not deleted. One run is active at a time, so later runs stay queued until it is answered.

It may run while ingests run: a purge holds the lease of one source at a time, as an ingest does. It skips a source
whose lease another run holds; the task reports that and is retried with growing delays.

**Who may run it.** A user's run lists and deletes the documents of sources that the user may write (`sluice grant`);
the nightly run all.

**Late** after 12 hours, also while it waits for an approval: the deadline's callback writes to the log and calls
`SLUICE_NOTIFY_URL`; the run continues.

`prune` removes in the nightly run only, because history belongs to no single tenant. To remove it by hand:
`sluice prune --apply`.

**When it fails.** *Clear* the task `purge` or `prune`, or trigger the DAG again: it deletes what remains.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pendulum
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Param, TriggerRule, dag, task

from sluice.airflow import links, retention
from sluice.airflow.assets import DOCUMENTS
from sluice.airflow.dag_defaults import defaults, form, late_after, switch
from sluice.airflow.notify import RunFailed
from sluice.airflow.retention import Expired
from sluice.model.names import NAME_PATTERN

EXPIRED = (
    "{% set expired = ti.xcom_pull(task_ids='look') %}"
    "{{ expired.documents }} document{{ '' if expired.documents == 1 else 's' }} with "
    "{{ expired.chunks }} chunk{{ '' if expired.chunks == 1 else 's' }}"
)

PARAMS = {
    "collection": Param(
        None,
        type=["string", "null"],
        pattern=NAME_PATTERN,
        title="Collection",
        description_md="Only this collection. Empty: all collections",
    ),
    "dry_run": switch(
        True,
        title="Dry run",
        description_md="List expired documents in the log of the task *look*. Off: delete them",
    ),
    "approve_above": Param(
        1000,
        type="integer",
        minimum=0,
        title="Approval above (documents)",
        description_md="A person has to approve the deletion of more documents than this, under "
        f"[Required Actions]({links.address('/required_actions')}). 0: always",
    ),
}


@dag(
    dag_id="sluice_retention",
    description="Delete documents that have expired, and history that is no longer used",
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
        """Lists the expired documents in its log, one line each."""
        return retention.look(params, dag_run)

    @task.branch(pool="sluice_default")
    def choose(expired: Expired, params: Any = None) -> Any:
        """Ends the run (a dry run, or nothing has expired), continues with `purge`, or asks a person first."""
        return retention.way(expired, params["approve_above"])

    # Not ALL_DONE: a rejection has to skip it, and a failure before it has to fail the run.
    @task(pool="sluice_load", multiple_outputs=False, trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS)
    def purge(expired: Expired, params: Any = None, dag_run: Any = None) -> dict:
        """Deletes the documents that `look` listed from all stores, and records each."""
        return retention.purge(params, expired, dag_run)

    @task(pool="sluice_load", multiple_outputs=False)
    def prune(expired: Expired, dag_run: Any = None) -> dict:
        """Counts history that is no longer used; a nightly run that deletes also removes it."""
        return retention.prune(expired, dag_run)

    approve = ApprovalOperator(
        task_id="approve",
        pool="sluice_default",
        doc_md="Asks a person, for three days. No answer is a rejection.",
        subject=f"Delete {EXPIRED} in {{{{ params.collection or 'all collections' }}}}?",
        body=f"Expired and unreadable already: {EXPIRED}. The log of the task *look* lists them. *Approve* deletes "
        "them from all stores. *Reject*, or no answer within three days, deletes nothing; the next run asks again.",
        defaults="Reject",
        response_timeout=timedelta(days=3),
        execution_timeout=timedelta(days=4),
    )
    expired = look()
    chosen = choose(expired)
    removed = purge(expired)
    prune(expired)
    chosen >> [approve, removed]
    approve >> removed


sluice_retention()
