"""
# sluice_reconcile: compare the stores with the ledger

Every night this DAG compares Qdrant and Neo4j with the ledger, chunk by chunk. It counts missing, surplus and stale
chunks (stale: another payload, document or mention; with `deep` another vector), and graph nodes without a chunk. The
counts are in this task's log, with examples, and in the ledger (`reconciliations`). If the stores differ, the task
fails, so that an operator is notified. Nothing is changed unless `repair` is set. Then missing and stale chunks are
written from the ledger, with vectors from the cache (nothing is embedded again), and surplus ones are deleted. A Qdrant
collection or a graph that is lost as a whole is rebuilt in the same way.

Object storage is compared, too. Uploads of served documents that no longer exist are reported as missing (with `deep`
also uploads whose bytes have changed). Orphaned objects are surplus and do not fail the task. They are removed
every night, unless `sweep` is off:

- artefacts of runs that were not active for `SLUICE_ARTEFACTS_KEEP_DAYS`, or that the ledger does not know
- bytes of documents that are no longer in quarantine
- remains of uploads after a crash

| param | unit | meaning |
|---|---|---|
| collection | name | only this one; empty: all |
| repair | yes/no | repair differences; default: only report them |
| deep | yes/no | also compare all vectors (sparse ones are computed again) and the bytes of uploads |
| sweep | yes/no | remove orphaned objects, also without `repair`; default: on |
| page_chunks | chunks | compared at a time; bounds the memory |

The note of a run has the numbers, or the error.

It may run while ingests run: differences are read again before they count, and documents that a run is processing are
not changed.

**Who may run it.** Every user who may trigger it in Airflow: it shows ids, no text, and writes only what the ledger
holds.

**Late** after 4 hours: the deadline's callback writes to the log and calls `SLUICE_NOTIFY_URL`; the run continues.

**When it fails.** `Disagreement`: the stores differ; trigger the DAG with `repair`. If a store is down, the task is
retried with growing delays. Repeating it is always safe. A lost upload cannot be restored: its chunks are still served,
and it is reported each night until it is uploaded again. If all objects of an upload are missing, the next run of its
source deletes the document.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pendulum
from airflow.sdk import Param, dag, task

from sluice.airflow import reconcile
from sluice.airflow.assets import DOCUMENTS
from sluice.airflow.dag_defaults import defaults, form, late_after, switch
from sluice.airflow.notify import RunFailed
from sluice.model.names import NAME_PATTERN

PARAMS = {
    "collection": Param(
        None,
        type=["string", "null"],
        pattern=NAME_PATTERN,
        title="Collection",
        description_md="Only this collection. Empty: all collections",
    ),
    "repair": switch(
        False,
        title="Repair",
        description_md="Write missing and stale chunks from the ledger, and delete surplus ones. Off: only report them",
    ),
    "deep": switch(
        False,
        title="Compare contents",
        description_md="Also compare vectors and the bytes of uploads, not only ids and payloads",
    ),
    "sweep": switch(
        True,
        title="Remove orphaned objects",
        description_md="Remove orphaned objects from storage, also if *Repair* is off. Both off: only count them",
    ),
    "page_chunks": Param(
        1000,
        type="integer",
        minimum=1,
        maximum=10_000,
        title="Page size (chunks)",
        description_md="This many chunks are compared at a time. More chunks need more memory",
    ),
}


@dag(
    dag_id="sluice_reconcile",
    description="Compare Qdrant, Neo4j and object storage with the ledger; repair if `repair` is set",
    schedule="30 3 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["sluice", "maintenance"],
    doc_md=__doc__,
    params=form(PARAMS),
    max_active_runs=1,
    default_args=defaults(timedelta(hours=6), first_delay_s=30),
    on_failure_callback=[RunFailed()],
    deadline=late_after(timedelta(hours=4), "compared within four hours"),
)
def sluice_reconcile() -> None:
    @task(pool="sluice_default", multiple_outputs=False, inlets=[DOCUMENTS])
    def compare(params: Any = None) -> dict:
        """Compares each store with the ledger, chunk by chunk, and fails if differences remain."""
        return reconcile.compare(params)

    compare()


sluice_reconcile()
