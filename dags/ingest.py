r"""
# sluice_ingest: one source into one collection

Brings a collection up to date with a source. New and changed documents are extracted, validated, chunked, embedded and
loaded into ledger, Qdrant and Neo4j. Documents that no longer exist at the source are deleted. Unchanged documents are
not touched.

`plan` compares a complete scan with the ledger and maps the work over batches. Each batch goes through
`extract → validate → chunk → embed → load`. `finish` deletes, checks that the stores agree and prints the summary.
`close` ends the run in the ledger, also if tasks failed.

| param | unit | meaning |
|---|---|---|
| source | URI | location of the documents: a folder, JSON lines, a bucket, a web page or list, … (docs/sources.md) |
| collection | name | created on first use, with the embedder and chunker that are set then |
| dry_run | yes/no | only report what would be done and its approximate cost; write nothing (docs/sources.md) |
| tenant | name | the owner of the documents; you need a grant to write there |
| access_groups | list | groups that may read them. Null: as saved (new source: the whole tenant); `[]`: whole tenant |
| retention_days | days | from first served to expiry; 0: for ever (docs/retention.md). Null: as saved |
| include, exclude | globs | of external ids (`*.zip!/`: in zips); all others are deleted. Null: as saved; `[]`: none |
| mode | | `incremental`, or `full`: read everything again (embeddings still come from the cache) |
| approve_shrink | yes/no | allow a source that lists far fewer documents than before (docs/sources.md) |
| approve_hiding | yes/no | allow new groups or a new retention that hide served documents at once |
| replay | ids | instead of a scan, process these quarantined documents again; `[]`: all. Null: no replay |
| batch_size | documents | in one mapped task. Null: by the amount of work (`SLUICE_TASK_SLOTS`, `SLUICE_BATCH_SIZE`) |
| max_documents | documents | stop after this many new or changed ones; the next run continues and deletes. Null: all |
| max_tokens | tokens | stop when embedding has used this many. Null: `SLUICE_MAX_TOKENS_PER_RUN` |
| max_cost | US dollars | stop when embedding has cost this much (`SLUICE_EMBEDDING_PRICE`); the first limit applies |

In the form an empty field is null. Type one list element on each line; write `[]` in *Advanced Options*.

**A dry run** ends after `plan`. Its log and its XCom `dry_run` report how many documents are new, changed, renamed or
would be deleted. They also report why the run would be rejected, and the most that embedding would use. The later tasks
are skipped.

**To recognise a run**, read its note: the collection, the source and, when it has ended, the result or the first error.
Batches are named by their documents. `plan` and `finish` link to *Gate results*, *Quarantine*, *Search* and *Source*,
the tasks of a batch to the first two (tab *Details* of the task).

**Assets.** `finish` creates an event of `sluice.collections`, the asset of all collections, and one of
`sluice_<collection>`. Schedule your own DAGs on them. The extra of an event holds `tenant`, `collection`, `source`,
`run_id`, the counts of `documents`, the `cost`, and `stopped` and `remaining` if the budget was exceeded.

**From a program**, trigger a run by Airflow's REST API. `logical_date` is required and may be null. Params that you
leave out have their defaults. With the local stack:

```sh
. "${SLUICE_HOME:-./.sluice}/credentials.env"  # in the checkout
TOKEN=$(curl -fsS "${SLUICE_AIRFLOW_URL:?read credentials.env first}/auth/token" \
  -H 'Content-Type: application/json' \
  -d '{"username": "'$SLUICE_ADMIN_USER'", "password": "'$SLUICE_ADMIN_PASSWORD'"}' \
  | sed 's/.*"access_token":"\([^"]*\)".*/\1/')
curl -fsS $SLUICE_AIRFLOW_URL/api/v2/dags/sluice_ingest/dagRuns \
  -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \
  -d '{"logical_date": null,
       "conf": {"source": "file://'$PWD'/.sluice/demo/corpus", "collection": "demo", "dry_run": true}}'
```

The answer has `dag_run_id`. Use it to get the run's state and note, and the log of a task (mapped tasks: `map_index`):

```sh
RUN="the dag_run_id"
ask() { curl -fsS "$SLUICE_AIRFLOW_URL/api/v2/dags/sluice_ingest/dagRuns/$RUN$1" -H "Authorization: Bearer $TOKEN"; }
ask ""
ask /taskInstances/plan/logs/1
ask "/taskInstances/batch.load/logs/1?map_index=0"
```

A misspelled key in `conf` does not fail this call. It fails the run: the log of `plan` and the note have the error. At
most four runs are active at once. A run waits and is retried while another run holds the lease of its source.

**Folders that may be read** (`file://`, `jsonl://`) are in the Airflow variable `sluice_file_roots` (Admin, Variables),
separated by `:`. `make demo SOURCE=…` adds its own. Add to the value, do not replace it: other sources need theirs.

**Who may run it.** A user with a grant to write to the tenant (`sluice grant`). The grant must hold every group that
may read the source now and every group that the run sets, or `*`. Only a grant with `*` can open a source from some
groups to the whole tenant. A run that no user triggered may only ingest a saved source with its saved options.

**When it fails.** Transient errors (a store is down) are retried with growing delays. Other errors fail the task at
once; one line of its log says what to do (`[logging] logging_level = DEBUG` adds the traceback). *Clear* the failed
task with its downstream tasks: it reads its input from object storage and continues; nothing is embedded twice. A batch
that fails does not stop the others: they are loaded, then the DAG run fails, and `close` releases the lease of the
source at once. Triggering the DAG again is also safe. Documents that cannot be ingested are quarantined with a reason
and do not stop the run. The summary has their number; `sluice quarantine list` and `GET /sluice/api/v1/quarantine` list
them. `finish` logs the address of the page with the gate results; its link *Gate results* opens the same page.

**When a store is down**, documents that no longer exist at the source are still deleted from the ledger and no longer
served. This happens when all new documents are read, because one of them may be a renamed document. The next run
deletes them from the stores.

**When the budget is exceeded**, the run stops and succeeds, because a retry would not help. Loaded documents are
served, nothing is deleted while new documents remain, and the summary has `"stopped": "budget"` and the number of
documents `remaining`. Trigger the DAG again to continue: embeddings that were paid for come from the cache
(docs/costs.md). Clearing tasks does not continue the run.

**One run per source at a time.** A second run of the same source logs which run holds the lease and is retried with
growing delays. It fails if the first run is still active then; two runs are never interleaved. A rejected run does not
change the source's groups, retention or globs. A DAG run that is marked as failed releases the lease when `close` has
run. If Airflow itself was killed, the lease ends half an hour after the end of the last task.

**Late** after 60 minutes: the deadline's callback writes to the log and calls `SLUICE_NOTIFY_URL`; the run continues.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, TriggerRule, dag, task, task_group, teardown

from sluice.airflow import ingest, links
from sluice.airflow.assets import COLLECTIONS, DOCUMENTS
from sluice.airflow.dag_defaults import defaults, form, late_after, switch
from sluice.airflow.notify import RunFailed
from sluice.model.names import NAME_PATTERN

# The first argument of a batch's tasks: a BatchRef as JSON. A run that an older release started has no title in it.
BATCH = "{{ task.op_args[0].get('title', '') }}"

# Airflow shows one section of the form open: "Run Parameters", with the params that name no section. A param without a
# value is shown as an error from the start if its schema has a `type` without "null".
ACCESS, FILTERS, LIMITS, REPAIR = "Access and retention", "Filters", "Limits", "Repair"
SAVED = f"what is [saved of the source]({links.address('/sluice/api/v1/sources')})"

PARAMS = {
    "source": Param(
        allOf=[{"type": "string", "minLength": 1}],
        maxLength=2000,
        title="Source",
        description_md="The location of the documents; required. A folder, a file of JSON lines, a bucket, a web page "
        "or list of pages, a git repository or a table: type a letter to see examples. Never write a login here: it "
        f"belongs in a [connection]({links.address('/connections')})",
        examples=[
            "file:///data/handbook",
            "jsonl:///data/corpus.jsonl",
            "s3://bucket/folder/?connection=reports",
            "https://example.org/sitemap.xml",
            "git+https://example.org/docs.git",
            "postgresql://reports?table=notes",
        ],
    ),
    "collection": Param(
        "docs",
        type="string",
        pattern=NAME_PATTERN,
        title="Collection",
        description_md="The collection of the documents, which you can "
        f"[search]({links.address('/sluice/')}); created on first use. a-z, 0-9, _ and -",
    ),
    "dry_run": switch(
        False,
        title="Dry run",
        description_md="Only report what would be done and its approximate cost, in the log of the task *plan*. "
        "Nothing is written",
    ),
    "tenant": Param(
        "default",
        type="string",
        pattern=NAME_PATTERN,
        title="Tenant",
        description_md="The owner of the documents; you need a grant to write there",
        section=ACCESS,
    ),
    "access_groups": Param(
        None,
        type=["array", "null"],
        items={"type": "string", "maxLength": 200},
        title="Groups that may read",
        description_md=f"One per line. Empty keeps {SAVED}; for a new source: everyone in the tenant. To open a saved "
        'source to everyone, set "access_groups" to [] in *Advanced Options*',
        section=ACCESS,
    ),
    "retention_days": Param(
        None,
        type=["integer", "null"],
        minimum=0,
        maximum=36500,
        title="Delete after (days)",
        description_md="Documents expire this many days after they were first served, and are deleted the night "
        f"after; 0: never. Empty keeps {SAVED}; for a new source: the collection's retention",
        section=ACCESS,
    ),
    "approve_hiding": switch(
        False,
        title="Allow hiding documents",
        description_md="Off: the run is rejected if new groups or a shorter retention make served documents "
        "unreadable at once",
        section=ACCESS,
    ),
    "include": Param(
        None,
        type=["array", "null"],
        items={"type": "string", "maxLength": 1000},
        title="Only these (globs)",
        description_md=r"One per line, such as \*\*/\*.md or \*.zip!/ (in zips). All others are deleted. "
        f"Empty keeps {SAVED}; for a new source: all. "
        'To remove the globs of a saved source, set "include" to [] in *Advanced Options*',
        section=FILTERS,
    ),
    "exclude": Param(
        None,
        type=["array", "null"],
        items={"type": "string", "maxLength": 1000},
        title="Not these (globs)",
        description_md=f"One per line. Matching documents are deleted. Empty keeps {SAVED}; for a new source: none. To "
        'remove the globs of a saved source, set "exclude" to [] in *Advanced Options*',
        section=FILTERS,
    ),
    "max_documents": Param(
        None,
        type=["integer", "null"],
        minimum=1,
        title="At most (documents)",
        description_md="Stop after this many new or changed documents. The next run continues. Documents that no "
        "longer exist at the source are deleted when no new one remains. Empty: no limit",
        section=LIMITS,
    ),
    "max_tokens": Param(
        None,
        type=["integer", "null"],
        minimum=0,
        title="At most (tokens)",
        description_md="Stop when embedding has used this many tokens. Empty: `SLUICE_MAX_TOKENS_PER_RUN`",
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
        description_md="Off: the run is rejected if the source lists far fewer documents than before "
        "(`SLUICE_MAX_SHRINK`)",
        section=LIMITS,
    ),
    "batch_size": Param(
        None,
        type=["integer", "null"],
        minimum=1,
        maximum=5000,
        title="Documents per batch",
        description_md="In one mapped task. Empty: chosen by the amount of work; at most `SLUICE_BATCH_SIZE`",
        section=LIMITS,
    ),
    "mode": Param(
        "incremental",
        type="string",
        enum=["incremental", "full"],
        values_display={"incremental": "New and changed documents", "full": "All documents again"},
        title="Read",
        description_md="All documents again (in conf: full) repeats extraction, gates and chunking. Embeddings still "
        "come from the cache",
        section=REPAIR,
    ),
    "replay": Param(
        None,
        type=["array", "null"],
        items={"type": "string", "format": "uuid"},
        title="Replay from quarantine",
        description_md="Ids of documents, one per line. Instead of a scan, these documents in "
        f"[quarantine]({links.address('/sluice/api/v1/quarantine')}) are processed again. "
        'Empty: no replay. To replay all of the source, set "replay" to [] in *Advanced Options*',
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
    default_args=defaults(timedelta(hours=2), on_failure=(ingest.failed,)),
    on_failure_callback=[RunFailed()],
    deadline=late_after(timedelta(minutes=60), "ingest within an hour"),
)
def sluice_ingest() -> None:
    @task(pool="sluice_default", retries=8)  # many uploads at once wait for the lease of the same source
    def plan(params: Any = None, dag_run: Any = None, ti: Any = None) -> list[dict]:
        """Compares a complete scan of the source with the ledger and splits the new and changed documents into batches.
        A dry run writes its report to this log and ends here."""
        return ingest.plan(params, dag_run, ti)

    @task(pool="sluice_extract", multiple_outputs=False, map_index_template=BATCH)
    def extract(ref: dict) -> dict:
        """Converts bytes to text, in separate processes. Documents that cannot be read are quarantined."""
        return ingest.work("extract", ref)

    @task(pool="sluice_extract", multiple_outputs=False, map_index_template=BATCH)
    def validate(ref: dict) -> dict:
        """The gate on documents: blocks, masks or flags them."""
        return ingest.work("validate", ref)

    @task(pool="sluice_extract", multiple_outputs=False, map_index_template=BATCH)
    def chunk(ref: dict) -> dict:
        """Splits documents into chunks with their entities; then the gate on chunks."""
        return ingest.work("chunk", ref)

    @task(pool="sluice_embed", multiple_outputs=False, map_index_template=BATCH)
    def embed(ref: dict) -> dict:
        """Computes the chunks' vectors or reads them from the cache; then the gate on vectors. Stops when the budget is
        exceeded."""
        return ingest.work("embed", ref)

    @task(pool="sluice_load", multiple_outputs=False, map_index_template=BATCH)
    def load(ref: dict) -> dict:
        """Loads into ledger, Qdrant and Neo4j; then one transaction activates the new versions."""
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
        """Deletes documents that no longer exist at the source, checks that the stores agree and writes the summary."""
        return ingest.finish(ti, outlet_events, COLLECTIONS, DOCUMENTS)

    @teardown  # Airflow ignores teardowns for a run's state: a run with a failed batch fails though this task succeeds
    @task(pool="sluice_default", multiple_outputs=False)
    def close(ti: Any = None) -> None:
        """Ends the run in the ledger and releases the lease of the source, also if other tasks failed."""
        ingest.close(ti)

    planned: Any = plan()
    done: Any = finish()
    planned.operator.operator_extra_links = done.operator.operator_extra_links = links.OF_INGEST
    loaded: Any = batch.expand(ref=planned)
    for stage in ("extract", "validate", "chunk", "embed"):  # those that can quarantine a document
        loaded.operator.dag.get_task(f"batch.{stage}").operator_extra_links = links.OF_BATCH
    loaded >> done >> (closed := close())
    loaded >> closed  # `finish` is marked as failed as soon as one batch fails, while others are still running


sluice_ingest()
