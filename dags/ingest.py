r"""
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
| dry_run | yes/no | only say what would be done and about what it would cost; nothing is written (docs/sources.md) |
| tenant | name | who owns the documents; you need a grant to write there |
| access_groups | list | who may read them. Null keeps what is saved (new: everyone in the tenant); `[]`: everyone |
| retention_days | days | unreadable that long after first served; 0: for ever (docs/retention.md). Null: as saved |
| include, exclude | globs | over external ids (`*.zip!/`: in zips); all else is removed. Null: as saved; `[]`: none |
| mode | | `incremental`, or `full`: read everything again (embeddings still come from the cache) |
| approve_shrink | yes/no | a source that lists far fewer documents is refused without it (docs/sources.md) |
| approve_hiding | yes/no | groups or a retention that hide served documents at once are refused without it |
| replay | ids | instead of a scan, work once more on what quarantine keeps of these documents; `[]`: of all. Null: no |
| batch_size | documents | in one mapped task. Empty: as fits the work (`SLUICE_TASK_SLOTS`, `SLUICE_BATCH_SIZE`) |
| max_documents | documents | stop after so many that need work; the next run goes on and removes. Empty: all |
| max_tokens | tokens | that embedding may take. Empty: as `SLUICE_MAX_TOKENS_PER_RUN` says |
| max_cost | US dollars | that embedding may take, at `SLUICE_EMBEDDING_PRICE`; of both, what is reached first |

In the form an empty field is null. Lists are typed one element a line; `[]` is written in *Advanced Options*.

**A dry run** ends after `plan`: its log and its XCom `dry_run` say how many documents are new, changed, moved, or would
vanish, why the run would be refused, and what embedding would take at most. The later tasks are skipped.

**To recognise a run**, read its note: the collection, the source, and when it has ended what came of it. Batches are
named by what they hold. `plan` and `finish` link to *Gate results*, *Quarantine*, *Search* and *Source*.

**From a program** ask Airflow's REST API for a run. `logical_date` has to be there and may be null. Params that
are left out have their defaults. With the local stack:

```sh
. ./.sluice/credentials.env  # in the checkout
TOKEN=$(curl -fsS "${SLUICE_AIRFLOW_URL:?read credentials.env first}/auth/token" \
  -H 'Content-Type: application/json' \
  -d '{"username": "'$SLUICE_ADMIN_USER'", "password": "'$SLUICE_ADMIN_PASSWORD'"}' \
  | sed 's/.*"access_token":"\([^"]*\)".*/\1/')
curl -fsS $SLUICE_AIRFLOW_URL/api/v2/dags/sluice_ingest/dagRuns \
  -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \
  -d '{"logical_date": null,
       "conf": {"source": "file://'$PWD'/.sluice/demo/corpus", "collection": "demo", "dry_run": true}}'
```

Its answer has `dag_run_id`. With it the run's state and note, and the log of a task (of mapped tasks with `map_index`):

```sh
RUN="the dag_run_id"
ask() { curl -fsS "$SLUICE_AIRFLOW_URL/api/v2/dags/sluice_ingest/dagRuns/$RUN$1" -H "Authorization: Bearer $TOKEN"; }
ask ""
ask /taskInstances/plan/logs/1
ask "/taskInstances/batch.load/logs/1?map_index=0"
```

A misspelled key in `conf` does not fail that call but the run: `plan` says what is wrong, and so does the note. At most
four runs are at work at once; a run whose source is another's waits and is tried again.

**Folders that may be read** (`file://`, `jsonl://`) are in the Airflow variable `sluice_file_roots` (Admin, Variables),
separated by `:`; `make demo SOURCE=…` adds its own. Add to the value, do not replace it: other sources need theirs.

**Who may run it.** A user with a grant to write to the tenant (`sluice grant`) that holds every group that may read the
source now and every group that the run gives it, or `*`. Opening a source that is for some groups to the whole tenant
needs `*`. A run that no user triggered may only repeat a saved source as it is saved.

**When it fails.** Transient errors (a store is down) are retried with growing delays; others fail at once and say what
to do, in one line of the task's log (`[logging] logging_level = DEBUG` adds the traceback). *Clear* the failed task
with its downstream tasks: it reads its input from object storage and goes on; nothing is embedded twice. A batch that
fails does not stop the others: they are loaded, then the DAG run fails, and `close` frees the source at once.
Triggering the DAG anew is just as safe. Documents that cannot be used are quarantined with a reason (counted in the
summary; which and why: `sluice quarantine list`, `GET /sluice/api/v1/quarantine`) and do not stop the run. What the
gates found is on the page that `finish` logs, also behind its link *Gate results*.

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
from typing import Any

from airflow.sdk import Param, TriggerRule, dag, task, task_group, teardown

from sluice.airflow import ingest, links
from sluice.airflow.assets import COLLECTIONS, DOCUMENTS
from sluice.airflow.notify import RunFailed
from sluice.airflow.tasks import defaults, form, late_after, switch
from sluice.model.names import NAME_PATTERN

# The first argument of a batch's tasks: a BatchRef as JSON. One of a run that an older release began has no title.
BATCH = "{{ task.op_args[0].get('title', '') }}"

# Airflow opens one section of the form, its own "Run Parameters", which holds what names no section; others open by a
# click. A field is red from the start where `type` stands in its schema, without "null", and there is no value.
ACCESS, FILTERS, LIMITS, REPAIR = "Access and retention", "Filters", "Limits", "Repair"
SAVED = f"what is [saved of the source]({links.address('/sluice/api/v1/sources')})"

PARAMS = {
    "source": Param(
        allOf=[{"type": "string", "minLength": 1}],
        maxLength=2000,
        title="Source",
        description_md="Where the documents are; needed. For example `file:///data/handbook`, "
        "`jsonl:///data/corpus.jsonl`, `s3://bucket/folder/?connection=reports`, `https://example.org/sitemap.xml`, "
        "`git+https://example.org/docs.git`, `postgresql://reports?table=notes`. Never with a login: that is in a "
        f"[connection]({links.address('/connections')}). The documentation of this DAG says more.",
        examples=[
            "file:///data/handbook",
            "jsonl:///data/corpus.jsonl",
            "s3://bucket/folder/?connection=reports",
            "https://example.org/sitemap.xml",
        ],
    ),
    "collection": Param(
        "docs",
        type="string",
        pattern=NAME_PATTERN,
        title="Collection",
        description_md="What the documents become part of, and what is "
        f"[searched]({links.address('/sluice/')}); made on first use. a-z, 0-9, _ and -",
    ),
    "dry_run": switch(
        False,
        title="Dry run",
        description_md="Only say what would be done and about what it would cost, in the log of the task *plan*. "
        "Nothing is written",
    ),
    "tenant": Param(
        "default",
        type="string",
        pattern=NAME_PATTERN,
        title="Tenant",
        description_md="Who owns the documents; you need a grant to write there",
        section=ACCESS,
    ),
    "access_groups": Param(
        None,
        type=["array", "null"],
        items={"type": "string", "maxLength": 200},
        title="Groups that may read",
        description_md=f"One a line. Empty keeps {SAVED}; for a new source: everyone in the tenant. To open a saved "
        'source to everyone: `"access_groups": []` in *Advanced Options*',
        section=ACCESS,
    ),
    "retention_days": Param(
        None,
        type=["integer", "null"],
        minimum=0,
        maximum=36500,
        title="Delete after (days)",
        description_md="Documents are unreadable that many days after they were first served, and deleted the night "
        f"after; 0: never. Empty keeps {SAVED}; for a new source: as its collection says",
        section=ACCESS,
    ),
    "approve_hiding": switch(
        False,
        title="Allow hiding documents",
        description_md="Without it the run is refused where new groups or a shorter retention make documents "
        "unreadable at once that are served now",
        section=ACCESS,
    ),
    "include": Param(
        None,
        type=["array", "null"],
        items={"type": "string", "maxLength": 1000},
        title="Only these (globs)",
        description_md=f"One a line, such as `**/*.md` or `*.zip!/`. All else is removed. Empty keeps {SAVED}; for a "
        'new source: all. To take the globs of a saved source back: `"include": []` in *Advanced Options*',
        section=FILTERS,
    ),
    "exclude": Param(
        None,
        type=["array", "null"],
        items={"type": "string", "maxLength": 1000},
        title="Not these (globs)",
        description_md=f"One a line. What they match is removed. Empty keeps {SAVED}; for a new source: none. To take "
        'the globs of a saved source back: `"exclude": []` in *Advanced Options*',
        section=FILTERS,
    ),
    "max_documents": Param(
        None,
        type=["integer", "null"],
        minimum=1,
        title="At most (documents)",
        description_md="Stop after this many new or changed documents. The next run continues, and only then removes "
        "what is gone. Empty: no limit",
        section=LIMITS,
    ),
    "max_tokens": Param(
        None,
        type=["integer", "null"],
        minimum=0,
        title="At most (tokens)",
        description_md="Stop when embedding has used this many tokens. Empty: as `SLUICE_MAX_TOKENS_PER_RUN` says",
        section=LIMITS,
    ),
    "max_cost": Param(
        None,
        type=["number", "null"],
        minimum=0,
        title="At most (US dollars)",
        description_md="Stop when embedding has cost this much. Needs `SLUICE_EMBEDDING_PRICE`. Empty: no limit",
        section=LIMITS,
    ),
    "approve_shrink": switch(
        False,
        title="Allow many deletions",
        description_md="Without it the run is refused where the source lists far fewer documents than before "
        "(`SLUICE_MAX_SHRINK`)",
        section=LIMITS,
    ),
    "batch_size": Param(
        None,
        type=["integer", "null"],
        minimum=1,
        maximum=5000,
        title="Documents a batch",
        description_md="In one mapped task. Empty: as fits the work; at most `SLUICE_BATCH_SIZE`",
        section=LIMITS,
    ),
    "mode": Param(
        "incremental",
        type="string",
        enum=["incremental", "full"],
        values_display={"incremental": "What is new or changed", "full": "Everything again"},
        title="Read",
        description_md="Everything again: extraction, gates and chunking anew (`full`); embeddings still come from the "
        "cache",
        section=REPAIR,
    ),
    "replay": Param(
        None,
        type=["array", "null"],
        items={"type": "string", "format": "uuid"},
        title="Replay from quarantine",
        description_md="Ids of documents, one a line: what "
        f"[quarantine]({links.address('/sluice/api/v1/quarantine')}) keeps of them is worked on once more, instead of "
        'a scan. Empty: no replay. All of the source: `"replay": []` in *Advanced Options*',
        section=REPAIR,
    ),
}


@dag(
    dag_id="sluice_ingest",
    description="One source into one collection: extract, validate, chunk, embed, load",
    schedule=None,
    catchup=False,
    tags=["sluice", "ingest"],
    doc_md=__doc__,
    params=form(PARAMS),
    max_active_runs=4,
    default_args=defaults(timedelta(hours=2), on_failure_callback=ingest.failed),
    on_failure_callback=[RunFailed()],
    deadline=late_after(timedelta(minutes=60), "ingest within an hour"),
)
def sluice_ingest() -> None:
    @task(pool="sluice_default", retries=8)  # it waits for its turn: many uploads come at once
    def plan(params: Any = None, dag_run: Any = None, ti: Any = None) -> list[dict]:
        """Compares a complete scan of the source with the ledger and cuts what needs work into batches. A dry run
        says what it found, in this log, and ends here."""
        return ingest.plan(params, dag_run, ti)

    @task(pool="sluice_extract", multiple_outputs=False, map_index_template=BATCH)
    def extract(ref: dict) -> dict:
        """Bytes to text, in processes of their own. What cannot be read goes to quarantine."""
        return ingest.work("extract", ref)

    @task(pool="sluice_extract", multiple_outputs=False, map_index_template=BATCH)
    def validate(ref: dict) -> dict:
        """The gate on documents: blocks, masks or flags."""
        return ingest.work("validate", ref)

    @task(pool="sluice_extract", multiple_outputs=False, map_index_template=BATCH)
    def chunk(ref: dict) -> dict:
        """Documents to chunks with their entities, and the gate on chunks."""
        return ingest.work("chunk", ref)

    @task(pool="sluice_embed", multiple_outputs=False, map_index_template=BATCH)
    def embed(ref: dict) -> dict:
        """Chunks to vectors, from the cache as far as it has them, and the gate on vectors. A budget stops it
        cleanly."""
        return ingest.work("embed", ref)

    @task(pool="sluice_load", multiple_outputs=False, map_index_template=BATCH)
    def load(ref: dict) -> dict:
        """Into ledger, Qdrant and Neo4j; then one transaction makes the new versions the served ones."""
        return ingest.work("load", ref)

    @task_group
    def batch(ref: dict) -> Any:
        return load(embed(chunk(validate(extract(ref)))))

    @task(
        pool="sluice_default",
        multiple_outputs=False,
        outlets=[COLLECTIONS, DOCUMENTS],
        trigger_rule=TriggerRule.NONE_FAILED,
    )
    def finish(ti: Any = None, outlet_events: Any = None) -> dict:
        """Removes what is gone at the source, checks that the stores agree and writes the summary."""
        return ingest.finish(ti, outlet_events, COLLECTIONS, DOCUMENTS)

    @teardown  # it is no leaf: a run in which a batch failed fails, though this succeeds
    @task(pool="sluice_default", multiple_outputs=False)
    def close(ti: Any = None) -> None:
        """Ends the run in the ledger, whatever became of the other tasks, so that the source is free."""
        ingest.close(ti)

    planned: Any = plan()
    done: Any = finish()
    planned.operator.operator_extra_links = done.operator.operator_extra_links = links.OF_INGEST
    loaded = batch.expand(ref=planned)
    loaded >> done >> (closed := close())
    loaded >> closed  # `finish` is given up as soon as one batch fails; the others are still at work then


sluice_ingest()
