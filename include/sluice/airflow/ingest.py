"""Bodies of the tasks of `sluice_ingest`: open the dependencies, one call into `pipeline`, one line of lineage."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from sluice.airflow import xcom

if TYPE_CHECKING:
    from sluice.airflow import lineage
    from sluice.model.run import StageStat
    from sluice.pipeline.requests import IngestRequest
    from sluice.ports.tools import Tools
    from sluice.settings import Settings

T = TypeVar("T")
log = logging.getLogger(__name__)

LEASE_S = 1800.0  # no task renews the lease while the next one waits for a slot in a pool
Json = dict[str, Any]


def plan(params: Mapping[str, Any], dag_run: Any, ti: Any) -> list[Json]:
    """Scans the source, or selects the quarantined documents to replay. Returns one BatchRef for each batch, and pushes
    the run's id to XCom for `finish` and `close`. A dry run has no id and no batch: its report goes to the log and to
    XCom."""
    from sluice.access import ingestion
    from sluice.airflow import lineage, permission
    from sluice.model.sizes import size_in_words
    from sluice.pipeline import checkpoints

    with _noting(ti), _tools() as (tools, settings):
        request = _request(params, orchestrator(dag_run.run_id, dag_run.dag_id))
        spec, approved = request.spec, request.approve_shrink
        who = {"user": permission.triggered_by(dag_run), "kind": permission.run_kind(dag_run)}
        ingestion.check(tools.ledger, spec, **who, roots=settings.roots, approve_shrink=approved)
        if params["dry_run"]:
            return _previewed(tools, request, ti)
        ingestion.check_hiding(tools.ledger, spec, approved=params["approve_hiding"])
        ti.xcom_push(
            key=xcom.RUN, value=str(request.run_id)
        )  # before the run starts, so that `close` finds it after a kill
        refs = checkpoints.plan(tools, request)
        planned, size = sum(ref.documents for ref in refs), sum(ref.size_bytes for ref in refs)
        run = tools.ledger.runs.get(request.run_id)
        lineage.emit(
            run,
            [(lineage.source(run), None)],
            [(lineage.table(settings, "documents"), "documents", planned)],
        )
    work = f"{planned} documents need work, {size_in_words(size)}, in {len(refs)} batches"
    log.info("sluice: %s", work)
    ti.xcom_push(key=xcom.NOTE, value=work)
    return [ref.to_json() for ref in refs]


@contextmanager
def _noting(ti: Any) -> Iterator[None]:
    """Writes the error of a failing `plan` into the run's note."""
    from sluice.errors import SluiceError

    try:
        yield
    except SluiceError as error:
        ti.xcom_push(key=xcom.NOTE, value=f"failed: {error}")
        raise


def orchestrator(dag_run_id: str, dag_id: str = "sluice_ingest") -> str:
    """The ledger's name of a DAG run."""
    return f"airflow:{dag_id}/{dag_run_id}"


def work(stage: str, ref: Json) -> Json:
    """Runs one stage of one batch. `stage`: the name of its task."""
    from sluice.airflow import lineage
    from sluice.model.run import BatchRef
    from sluice.pipeline import checkpoints, stages

    batch, row = BatchRef.from_json(ref), stages.BY_NAME[stage]
    with _tools() as (tools, settings):
        run = tools.ledger.runs.get(UUID(batch.run_id))
        done = checkpoints.carry_out(tools, run, row, batch)
        gates, stats = tools.ledger.quality.gates(run, batch.batch), tools.ledger.runs.stages(run)
        counts = _counts(stats, batch.batch, stage) | {"documents": done.documents}
        lineage.emit(run, *lineage.of_stage(settings, run, row, gates, counts))
    log.info("sluice: batch %d, %s: %d of %d documents", batch.batch, stage, done.documents, batch.documents)
    return done.to_json()


def finish(ti: Any, outlet_events: Any, alias: Any, everything: Any) -> Json:
    """Finishes the run: deletes, checks that the stores agree, and writes the summary to the log and the ledger. Then
    emits the events of the collection's asset and of `everything`, the asset of all collections. A dry run skips it."""
    from airflow.sdk import Asset
    from airflow.sdk.exceptions import AirflowSkipException

    from sluice.airflow import lineage, links
    from sluice.pipeline import finishing, recording
    from sluice.pipeline.summary import quarantined_by

    run_id = ti.xcom_pull(task_ids="plan", key=xcom.RUN)
    if run_id is None:
        raise AirflowSkipException("This is a dry run, so there is nothing to finish.")
    with _tools() as (tools, settings):
        run = tools.ledger.runs.get(UUID(run_id))
        summary = finishing.finish(tools, run)
        removed = _counts(tools.ledger.runs.stages(run), recording.WHOLE_RUN, "finish").get("removed", 0)
        changed: list[lineage.Written] = [
            (lineage.table(settings, "documents"), "documents", summary.documents.deleted),
            (lineage.table(settings, "chunks"), "chunks", removed),
            (lineage.collection(settings, run), "points", removed),
        ]
        if run.source.generation.has_graph:
            changed.append((lineage.graph(settings), "graph", None))
        lineage.emit(run, [(lineage.source(run), None)], changed)
        quarantined = quarantined_by(tools, run.source.spec, summary)
    lines, result = summary.lines(quarantined), summary.to_json()
    for line in lines:
        log.info("sluice: %s", line)
    ti.xcom_push(key=xcom.NOTE, value=lines[0])
    log.info("sluice: run summary as JSON %s", json.dumps(result))
    if summary.stopped:
        log.warning("sluice: %s exceeded, %d documents remain", summary.stopped, summary.remaining)
    log.info("sluice: gate results at %s", links.address(summary.gates))
    # The ledger has validated `collection`, so it is safe in a URI.
    asset = Asset(name=f"sluice_{summary.collection}", uri=f"sluice://collections/{summary.collection}")
    spec = run.source.spec
    extra = {"tenant": spec.tenant, "collection": spec.collection, "source": spec.uri}
    extra |= {name: result[name] for name in ("run_id", "documents", "cost", "stopped", "remaining")}
    outlet_events[alias].add(asset, extra=extra)
    outlet_events[everything].extra = extra
    return result


def failed(context: Mapping[str, Any]) -> None:
    """`on_failure_callback` of every task: records the run's first error. It does not end the run, because other
    batches may still be running; `close` ends it."""
    from sluice.pipeline import checkpoints

    ti, error = context["ti"], context.get("exception")
    _with_ledgers_run(ti, lambda tools, run_id: checkpoints.record_error(tools, run_id, ti.task_id, error))


def close(ti: Any) -> None:
    """The last task of every run; it runs even if others failed. If `finish` did not close the run in the ledger, it is
    closed as failed with the first error of its tasks, and its lease is released. Clearing tasks opens it again."""
    from sluice.pipeline import checkpoints

    pending = _with_ledgers_run(ti, checkpoints.close)
    if pending is not None:
        log.warning("sluice: the run is closed as failed. Clear its failed tasks to continue, or trigger a new run")
    if pending:
        log.warning("sluice: %d chunks are deleted from the ledger, but not yet from the other stores", pending)


# --- details ------------------------------------------------------------------------------------------------


def _previewed(tools: Tools, request: IngestRequest, ti: Any) -> list[Json]:
    """Reports a dry run. Returns no batch, so the tasks that follow are skipped. Ignores `max_documents` and
    `batch_size`. Raises BadRequest for a replay."""
    from sluice.errors import BadRequest
    from sluice.pipeline import preview

    if request.replay is not None:
        raise BadRequest(
            "A dry run scans a source, but a replay does not. Nothing was changed. Leave out dry_run or replay; "
            "`sluice quarantine list` shows the documents that a replay would process."
        )
    report = preview.preview(tools, request)
    lines, result = report.lines(), report.to_json()
    for line in lines:
        log.info("sluice: %s", line)
    log.info("sluice: dry run as JSON %s", json.dumps(result))
    ti.xcom_push(key=xcom.DRY_RUN, value=result)
    ti.xcom_push(key=xcom.NOTE, value=lines[1])
    return []


def _with_ledgers_run(ti: Any, call: Callable[[Tools, UUID], T]) -> T | None:
    """Calls `call` with the run's id. None: `plan` did not create a run in the ledger, or this is a dry run."""
    from sluice.errors import NotFound

    run_id = ti.xcom_pull(task_ids="plan", key=xcom.RUN)
    if run_id is None:
        return None
    with _tools() as (tools, _):
        try:
            return call(tools, UUID(run_id))
        except NotFound:
            return None


@contextmanager
def _tools() -> Iterator[tuple[Tools, Settings]]:
    from sluice.airflow.dependencies import opened

    with opened() as (tools, settings):
        yield replace(tools, lease_s=max(LEASE_S, settings.lease_s)), settings


def _counts(stats: Iterable[StageStat], batch: int, stage: str) -> dict[str, int]:
    return next((dict(each.counts) for each in stats if (each.batch, each.stage) == (batch, stage)), {})


def _request(params: Mapping[str, Any], orchestrator: str) -> IngestRequest:
    """The request in the params. An empty field of the form is None: the source's saved value stays."""
    from sluice.model.source import SourceSpec
    from sluice.pipeline.requests import IngestRequest
    from sluice.sources.uri import canonical

    replay = params["replay"]
    names = ("mode", "approve_shrink", "max_documents", "max_tokens", "max_cost", "batch_size")
    return IngestRequest(
        SourceSpec(
            uri=canonical(params["source"]),  # as it is saved, so that its present owner is found
            collection=params["collection"],
            tenant=params["tenant"],
            access_groups=_tuple(params["access_groups"]),
            retention_days=params["retention_days"],
            include=_tuple(params["include"]),
            exclude=_tuple(params["exclude"]),
        ),
        replay=None if replay is None else tuple(UUID(each) for each in replay),
        orchestrator=orchestrator,
        **{name: params[name] for name in names},
    )


def _tuple(values: Sequence[str] | None) -> tuple[str, ...] | None:
    """The lines of a form's field without the blank ones. If all are blank, None: the source's saved value stays."""
    if not values:
        return None if values is None else ()
    return tuple(each for each in values if each.strip()) or None
