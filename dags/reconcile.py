"""
# sluice_reconcile: the stores against the ledger

Every night Qdrant and Neo4j are compared with the ledger, chunk by chunk: what is missing, surplus or stale (another
payload, document or mention; with `deep` another vector), and nodes of the graph that nothing supports, are counted and
told in this task's log, with examples, and recorded in the ledger (`reconciliations`). Where something differs the task
fails, so that somebody looks. Nothing is changed unless `repair` is set: then what is missing or stale is written from
the ledger, with vectors from the cache (nothing is embedded again), and what nobody claims is taken out. A Qdrant
collection or a graph that is lost as a whole is built again in the same way.

Object storage is compared, too: uploads that a served document was made from and that are gone are told as missing
(with `deep` also those that are not what was sent). Objects that nobody needs are surplus and do not fail the task:
artefacts of runs that were not active for `SLUICE_ARTEFACTS_KEEP_DAYS`, or of runs that the ledger does not know;
bytes of documents that are not in quarantine any more; what a crash left of an upload. They are removed nightly, unless
`sweep` is off.

| param | unit | meaning |
|---|---|---|
| collection | name | only this one; empty: all |
| repair | | make right what is found; default: a dry run |
| deep | | compare vectors, too: reads them all and computes the sparse ones again; and reads the uploads |
| sweep | | remove objects that nobody needs, also without `repair`; default: on |
| page_chunks | chunks | compared at a time; bounds the memory |

It may run beside ingests: what differs is read again before it counts, and what a run has in hand is left alone.

**Who may run it.** Whoever may trigger it in Airflow: it shows ids and no text, and makes stores what the ledger says.

**Late** after 4 hours: the deadline's callback tells the log and `SLUICE_NOTIFY_URL`; the run goes on.

**When it fails.** `Disagreement`: something differs; trigger it with `repair`. A store that is down is retried with
growing delays. Repeating it is always safe. An upload that is lost cannot be made again: what was made from it is
served on, and it is told each night until it is sent again; one whose objects are all gone is removed by the next run
of its source.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pendulum
from airflow.sdk import Param, dag, task

from sluice.airflow import reconcile
from sluice.airflow.assets import DOCUMENTS
from sluice.airflow.notify import RunFailed
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
    "repair": switch(
        False,
        title="Repair",
        description_md="Write what is missing or stale from the ledger, and remove what nobody claims. Off: a dry run",
    ),
    "deep": switch(
        False,
        title="Compare contents",
        description_md="Vectors and the bytes of uploads, too; not only ids and payloads",
    ),
    "sweep": switch(
        True,
        title="Remove orphaned objects",
        description_md="Objects in storage that nobody needs, also without *Repair*",
    ),
    "page_chunks": Param(
        1000,
        type="integer",
        minimum=1,
        maximum=10_000,
        title="Chunks at a time",
        description_md="Chunks compared at a time. More need more memory",
    ),
}


@dag(
    dag_id="sluice_reconcile",
    description="Compare Qdrant, Neo4j and object storage with the ledger; repair where asked",
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
        """Compares each store with the ledger, chunk by chunk, and fails where something differs still."""
        return reconcile.compare(params)

    compare()


sluice_reconcile()
