"""
# sluice_evaluate: the quality of search on golden sets

Searches the questions of a golden set and compares the results with the judged documents: nDCG@10, recall@10, MRR and
all-gold@10, with 95 % bootstrap intervals and the time of a search. All retrievers together are measured (`fused`, as
users search), and each one alone. The results are kept in the ledger. The page `/sluice/evaluations` shows their
history, and so does `GET /sluice/api/v1/collections/{collection}/evaluations`.

The DAG runs after each ingest, for the collection that was ingested, and on demand. `plan` chooses the golden sets,
`learn` fits the weights of search to them, `measure` is mapped over them, and `report` lists the results. A collection
without a golden set is skipped; the note and the log of `plan` say so. If an ingest changed nothing, a golden set is
not evaluated again, provided that it is the same, and that its last evaluation passed and was after the last change.

| param | unit | meaning |
|---|---|---|
| collection | name | only this one; empty: all with a golden set |
| tenant | name | only this tenant; empty: all |
| golden_set | name | only sets of this name; empty: all |
| top_k | passages | of each search. A document ranks as its best passage |
| accept_drop | yes/no | take the results as the new level, even if the quality dropped |
| learn_weights | yes/no | learn the weights of search before measuring |

A run after an ingest has the defaults. The note of a run has the result, or the number of evaluated golden sets.

**Golden sets** are made with `sluice golden import` or `sluice golden add`, and from feedback of callers
(docs/evaluation.md).

**Weights.** A collection with at least 30 judged questions gets weights of its own: the share of similarity against
words, and what pairs of words, named metadata and similar passages count. They are used only if they are better on
questions that they were not fitted to, by more than chance explains. `sluice tune --reset` returns to the default.

**When the quality drops**, the check `quality_drop` reports it: a warning in the gate results of the last run that
changed the collection, in lineage and on the page, and a message to `SLUICE_NOTIFY_URL` (event
`search_quality_dropped`). The check compares the nDCG@10 of each question with the last evaluation that passed. It
reports a mean drop above 0.02 that is not chance (paired bootstrap, p < .05). Questions whose judgements have changed
do not count. The run succeeds, unless the action of the check is `block`. To change limit or action:
`sluice gates set quality_drop --collection C --limit 0.05 --action block`.

It is reported again after each ingest until the quality is back, or until a run with `accept_drop` takes the new level
as the one to compare with.

**Who may run it.** A user's run evaluates the tenants where the user has a grant to write with all groups, because it
searches all documents. A run after an ingest has no user and evaluates what was ingested.

**Late** after 4 hours: the deadline's callback writes to the log and calls `SLUICE_NOTIFY_URL`; the run continues.

**When it fails.** If a store is down, `measure` is retried with growing delays; nothing is recorded for an incomplete
search. Clear `measure`, or trigger the DAG again: an evaluation changes nothing but its own history.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pendulum
from airflow.sdk import Param, TriggerRule, dag, task

from sluice.airflow import evaluate, ingest_all, links
from sluice.airflow.assets import DOCUMENTS
from sluice.airflow.dag_defaults import defaults, form, late_after, switch
from sluice.airflow.notify import RunFailed
from sluice.model.names import NAME_PATTERN

TITLE = "{{ task.op_kwargs['element']['title'] }}"  # of a golden set, with its collection

PARAMS = {
    "collection": Param(
        None,
        type=["string", "null"],
        pattern=NAME_PATTERN,
        title="Collection",
        description_md="Only this collection. Empty: all with a golden set. See their "
        f"[history]({links.address('/sluice/evaluations')})",
    ),
    "tenant": Param(
        None,
        type=["string", "null"],
        pattern=NAME_PATTERN,
        title="Tenant",
        description_md="Only golden sets of this tenant. Empty: of all that you may evaluate",
    ),
    "golden_set": Param(
        None,
        type=["string", "null"],
        pattern=NAME_PATTERN,
        title="Golden set",
        description_md="Only golden sets of this name. Empty: all",
    ),
    "top_k": Param(
        30,
        type="integer",
        minimum=10,
        maximum=100,
        title="Passages",
        description_md="Passages of each search. A document ranks as its best passage, and the first ten documents "
        "count. Results with different numbers are not compared",
    ),
    "accept_drop": switch(
        False,
        title="Accept a drop",
        description_md="Compare later results with this one, even if the quality dropped. Off: a drop is reported",
    ),
    "learn_weights": switch(
        True,
        title="Learn weights",
        description_md="Fit the weights of search to the golden sets of changed collections first, and use them where "
        "they are better on questions that were left out",
    ),
}


@dag(
    dag_id="sluice_evaluate",
    description="The quality of search on golden sets, after each ingest and on demand",
    schedule=[DOCUMENTS],
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["sluice", "maintenance"],
    doc_md=__doc__,
    params=form(PARAMS),
    max_active_runs=1,
    default_args=defaults(timedelta(hours=2), first_delay_s=30),
    on_failure_callback=[RunFailed()],
    deadline=late_after(timedelta(hours=4), "evaluated within four hours"),
)
def sluice_evaluate() -> None:
    @task(pool="sluice_default", inlets=[DOCUMENTS])
    def plan(
        params: Any = None,
        dag_run: Any = None,
        ti: Any = None,
        triggering_asset_events: Any = None,
        inlet_events: Any = None,
    ) -> list[dict]:
        """Chooses the golden sets of the collections that were ingested, or that the params name."""
        events = ingest_all.events(dag_run, triggering_asset_events.get(DOCUMENTS, []), inlet_events[DOCUMENTS])
        return evaluate.plan(params, dag_run, ti, events)

    @task(pool="sluice_default", multiple_outputs=False)
    def learn(elements: Any, params: Any = None) -> list:
        """Fits the weights of search to the golden sets, and uses them where they are better."""
        return evaluate.learn(elements, params)

    @task(
        pool="sluice_default",
        multiple_outputs=False,
        map_index_template=TITLE,
        doc_md="Searches the questions of one golden set, records the metrics and compares them with the last that "
        "passed.",
    )
    def measure(element: dict, params: Any = None, dag_run: Any = None) -> dict:
        return evaluate.measure(element, params, dag_run)

    @task(pool="sluice_default", multiple_outputs=False, trigger_rule=TriggerRule.NONE_FAILED)
    def report(measured: Any, learned: Any, ti: Any = None) -> dict:
        """Lists the results, new weights, and the collections that were skipped."""
        return evaluate.report(measured, learned, ti)

    planned: Any = plan()
    learned: Any = learn(planned)
    measured: Any = measure.expand(element=planned)
    learned >> measured
    reported: Any = report(measured, learned)
    planned.operator.operator_extra_links = reported.operator.operator_extra_links = (links.Evaluations(),)


sluice_evaluate()
