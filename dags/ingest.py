"""
# sluice_ingest: one source into one collection

Brings a collection up to date with a source: what is new or changed is extracted, validated, chunked, embedded and
loaded into ledger, Qdrant and Neo4j; what is gone at the source is removed; what is unchanged is not touched.

`plan` compares a complete scan with the ledger and maps the work over batches; each batch goes through
`extract → validate → chunk → embed → load`; `finish` removes, checks that the stores agree and prints the summary;
`close` ends the run in the ledger, whatever became of it.

| param | unit | meaning |
|---|---|---|
| source | URI | where the documents are: a folder, JSON lines, a bucket, a web page or list, … (docs/sources.md) |
| collection | name | made on first use, with the embedder and chunker set at that time |
| tenant | name | who owns the documents; you need a grant to write there |
| access_groups | list | who may read them. Null keeps what is saved (new: everyone in the tenant); `[]`: everyone |
| retention_days | days | unreadable that long after first served; 0: for ever (docs/retention.md). Null: as saved |
| include, exclude | globs | over external ids (`*.zip!/`: in zips); all else is removed. Null: as saved; `[]`: none |
| mode | | `incremental`, or `full`: read everything again (embeddings still come from the cache) |
| approve_shrink | yes/no | a source that lists far fewer documents than before is refused without it |
| approve_hiding | yes/no | groups or a retention that hide served documents at once are refused without it |
| replay | ids | instead of a scan, work once more on what quarantine keeps of these documents; `[]`: of all. Null: no |
| batch_size | documents | in one mapped task. Empty: as fits the work (`SLUICE_TASK_SLOTS`, `SLUICE_BATCH_SIZE`) |
| max_documents | documents | stop after so many that need work; the next run goes on and removes. Empty: all |
| max_tokens | tokens | that embedding may take. Empty: as `SLUICE_MAX_TOKENS_PER_RUN` says |
| max_cost | US dollars | that embedding may take, at `SLUICE_EMBEDDING_PRICE`; of both, what is reached first |

**Who may run it.** A user with a grant to write to the tenant (`sluice grant`) that holds every group that may read the
source now and every group that the run gives it, or `*`. Opening a source that is for some groups to the whole tenant
needs `*`. A run that no user triggered may only repeat a saved source as it is saved.

**When it fails.** Transient errors (a store is down) are retried with growing delays; others fail at once and say what
to do. *Clear* the failed task with its downstream tasks: it reads its input from object storage and goes on; nothing is
embedded twice. A batch that fails does not stop the others: they are loaded, then the DAG run fails, and `close` frees
the source at once. Triggering the DAG anew is just as safe. Documents that cannot be used are quarantined with a reason
(counted in the summary; which and why: `sluice quarantine list`, `GET /sluice/api/v1/quarantine`) and do not stop the
run. What the gates found is on the page that `finish` logs, also behind its link *Gate results*.

**When a store is down** what is gone at the source is removed from the ledger all the same, as soon as all new
documents are read (one of them may be a renamed one), and is no longer served. The stores follow with the next run.

**When the budget ends** the run takes on nothing more and succeeds: nothing is to be retried. What is loaded is served,
nothing is removed while new documents remain, and the summary says `"stopped": "budget"` and how many documents
`remaining`. Trigger it anew to go on: what was paid for comes from the cache (docs/costs.md). Clearing its tasks does
not go on.

**One run a source at a time.** A second run of the same source says who is at work, is tried again with growing delays
and fails if the first is still not done; nothing is interleaved. What a refused run would set (groups, retention,
globs) is not set. A DAG run that is marked as failed frees its source when `close` has run; where Airflow itself was
killed, the source is free half an hour after the last task's end.

**Late** after 60 minutes: the deadline's callback tells the log and `SLUICE_NOTIFY_URL`; the run goes on.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import AssetAlias, Param, TriggerRule, dag, task, task_group, teardown

from sluice.airflow import ingest
from sluice.airflow.links import GateResults
from sluice.airflow.notify import RunFailed
from sluice.airflow.tasks import NAME, defaults, late_after

COLLECTIONS = AssetAlias("sluice_collections")

PARAMS = {
    "source": Param(
        type="string",
        minLength=1,
        maxLength=2000,
        title="Source",
        description="Where the documents are, without a login: see docs/sources.md",
        examples=[
            "file:///data/handbook",
            "jsonl:///data/corpus.jsonl",
            "s3://bucket/folder/?connection=reports",
            "https://example.org/sitemap.xml",
        ],
        section="What",
    ),
    "collection": Param(
        "docs",
        type="string",
        pattern=NAME,
        title="Collection",
        description="What it becomes part of; made on first use. a-z, 0-9, _ and -",
        section="What",
    ),
    "mode": Param(
        "incremental",
        type="string",
        enum=["incremental", "full"],
        title="Mode",
        description="incremental: what changed. full: everything is read again; vectors still come from the cache",
        section="What",
    ),
    "tenant": Param(
        "default",
        type="string",
        pattern=NAME,
        title="Tenant",
        description="Who owns the documents; you need a grant to write there",
        section="Who",
    ),
    "access_groups": Param(
        None,
        type=["array", "null"],
        items={"type": "string", "minLength": 1, "maxLength": 200},
        title="Access groups",
        description="Who may read it. Null keeps what is saved (a new source: everyone in the tenant); []: everyone",
        section="Who",
    ),
    "retention_days": Param(
        None,
        type=["integer", "null"],
        minimum=0,
        maximum=36500,
        title="Retention (days)",
        description="Unreadable that long after first served; 0: for ever. Null keeps what is saved",
        section="Who",
    ),
    "include": Param(
        None,
        type=["array", "null"],
        items={"type": "string", "minLength": 1, "maxLength": 1000},
        title="Include (globs)",
        description="Only these, such as **/*.md or *.zip!/. Null keeps what is saved (a new source: all); []: all",
        section="Which",
    ),
    "exclude": Param(
        None,
        type=["array", "null"],
        items={"type": "string", "minLength": 1, "maxLength": 1000},
        title="Exclude (globs)",
        description="Not these. Null keeps what is saved (a new source: none); []: none",
        section="Which",
    ),
    "approve_shrink": Param(
        False,
        type="boolean",
        title="Approve that much vanishes",
        description="Without it a source that lists far fewer documents than before (SLUICE_MAX_SHRINK) is refused",
        section="How",
    ),
    "approve_hiding": Param(
        False,
        type="boolean",
        title="Approve that documents become unreadable",
        description="Without it, groups or a retention that hide served documents at once are refused",
        section="How",
    ),
    "replay": Param(
        None,
        type=["array", "null"],
        items={"type": "string", "format": "uuid"},
        title="Replay (ids of documents)",
        description="Instead of a scan: what quarantine keeps of these documents; []: of all. Null: no replay",
        section="How",
    ),
    "batch_size": Param(
        None,
        type=["integer", "null"],
        minimum=1,
        maximum=5000,
        title="Documents a batch",
        description="In one mapped task. Null: about two batches a task slot, at most SLUICE_BATCH_SIZE",
        section="How",
    ),
    "max_documents": Param(None, type=["integer", "null"], minimum=1, title="At most (documents)", section="How"),
    "max_tokens": Param(
        None,
        type=["integer", "null"],
        minimum=0,
        title="At most (tokens)",
        description="That embedding may take; the run then stops cleanly. Null: as SLUICE_MAX_TOKENS_PER_RUN says",
        section="How",
    ),
    "max_cost": Param(
        None,
        type=["number", "null"],
        minimum=0,
        title="At most (US dollars)",
        description="That embedding may take; needs SLUICE_EMBEDDING_PRICE",
        section="How",
    ),
}


@dag(
    dag_id="sluice_ingest",
    schedule=None,
    catchup=False,
    tags=["sluice"],
    doc_md=__doc__,
    params=PARAMS,
    max_active_runs=4,
    default_args=defaults(timedelta(hours=2), on_failure_callback=ingest.failed),
    on_failure_callback=[RunFailed()],
    deadline=late_after(timedelta(minutes=60), "ingest within an hour"),
)
def sluice_ingest():
    @task(pool="sluice_default", retries=8)  # it waits for its turn: many uploads come at once
    def plan(params=None, dag_run=None, ti=None) -> list[dict]:
        return ingest.plan(params, dag_run, ti)

    @task(pool="sluice_extract", multiple_outputs=False)
    def extract(ref: dict) -> dict:
        return ingest.extract(ref)

    @task(pool="sluice_extract", multiple_outputs=False)
    def validate(ref: dict) -> dict:
        return ingest.validate(ref)

    @task(pool="sluice_extract", multiple_outputs=False)
    def chunk(ref: dict) -> dict:
        return ingest.chunk(ref)

    @task(pool="sluice_embed", multiple_outputs=False)
    def embed(ref: dict) -> dict:
        return ingest.embed(ref)

    @task(pool="sluice_load", multiple_outputs=False)
    def load(ref: dict) -> dict:
        return ingest.load(ref)

    @task_group
    def batch(ref: dict):
        return load(embed(chunk(validate(extract(ref)))))

    @task(pool="sluice_default", multiple_outputs=False, outlets=[COLLECTIONS], trigger_rule=TriggerRule.NONE_FAILED)
    def finish(ti=None, outlet_events=None) -> dict:
        return ingest.finish(ti, outlet_events, COLLECTIONS)

    @teardown  # it is no leaf: a run in which a batch failed fails, though this succeeds
    @task(pool="sluice_default", multiple_outputs=False)
    def close(ti=None) -> None:
        ingest.close(ti)

    done = finish()
    done.operator.operator_extra_links = (GateResults(),)
    loaded = batch.expand(ref=plan())
    loaded >> done >> (closed := close())
    loaded >> closed  # `finish` is given up as soon as one batch fails; the others are still at work then


sluice_ingest()
