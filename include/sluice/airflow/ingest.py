"""Bodies of the tasks of `sluice_ingest`: open the dependencies, one call into `pipeline`, one line of lineage."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from sluice.airflow import dependencies, xcom
from sluice.errors import NotFound

if TYPE_CHECKING:
    from sluice.airflow import lineage
    from sluice.model.run import StageStat
    from sluice.pipeline.requests import IngestRequest
    from sluice.wiring.application import Sluice

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

    with dependencies.opened(LEASE_S) as sluice:
        request = _request(params, orchestrator(dag_run.run_id, dag_run.dag_id))
        spec, approved = request.spec, request.approve_shrink
        who = {"user": permission.triggered_by(dag_run), "kind": permission.run_kind(dag_run)}
        ledger, roots = sluice.ledger, sluice.settings.roots
        ingestion.check(ledger.grants, ledger.sources, spec, **who, roots=roots, approve_shrink=approved)
        if params["dry_run"]:
            return _previewed(sluice, request, ti)
        ingestion.check_hiding(ledger.deletions, spec, approved=params["approve_hiding"])
        # Before the run starts, so that `close` finds it after a kill.
        ti.xcom_push(key=xcom.RUN, value=str(request.run_id))
        refs = sluice.checkpoints.plan(request)
        planned, size = sum(ref.documents for ref in refs), sum(ref.size_bytes for ref in refs)
        run = ledger.runs.get(request.run_id)
        documents = (lineage.table(sluice.settings, "documents"), "documents", planned)
        lineage.emit(run, [(lineage.source(run), None)], [documents])
    work = f"{planned} documents need work, {size_in_words(size)}, in {len(refs)} batches"
    log.info("sluice: %s", work)
    ti.xcom_push(key=xcom.NOTE, value=work)
    return [ref.to_json() for ref in refs]


def orchestrator(dag_run_id: str, dag_id: str = "sluice_ingest") -> str:
    """The ledger's name of a DAG run."""
    return f"airflow:{dag_id}/{dag_run_id}"


def work(stage: str, ref: Json) -> Json:
    """Runs one stage of one batch. `stage`: the name of its task."""
    from sluice.airflow import lineage
    from sluice.model.run import BatchRef
    from sluice.pipeline import stages

    batch, row = BatchRef.from_json(ref), stages.BY_NAME[stage]
    with dependencies.opened(LEASE_S) as sluice:
        run = sluice.ledger.runs.get(UUID(batch.run_id))
        done = sluice.checkpoints.carry_out(run, row, batch)
        gates, stats = sluice.ledger.quality.gates(run, batch.batch), sluice.ledger.runs.stages(run)
        counts = _counts(stats, batch.batch, stage) | {"documents": done.documents}
        lineage.emit(run, *lineage.of_stage(sluice.settings, run, row, gates, counts))
    log.info("sluice: batch %d, %s: %d of %d documents", batch.batch, stage, done.documents, batch.documents)
    return done.to_json()


def finish(ti: Any, outlet_events: Any, alias: Any, everything: Any) -> Json:
    """Finishes the run: deletes, checks that the stores agree, and writes the summary to the log and the ledger. Then
    emits the events of the collection's asset and of `everything`, the asset of all collections. A dry run skips it."""
    from airflow.sdk import Asset
    from airflow.sdk.exceptions import AirflowSkipException

    from sluice.airflow import lineage, links
    from sluice.pipeline import recording
    from sluice.pipeline.summary import quarantined_by

    run_id = ti.xcom_pull(task_ids="plan", key=xcom.RUN)
    if run_id is None:
        raise AirflowSkipException("This is a dry run, so there is nothing to finish.")
    with dependencies.opened(LEASE_S) as sluice:
        run = sluice.ledger.runs.get(UUID(run_id))
        summary = sluice.pipeline.finishing.finish(run)
        removed = _counts(sluice.ledger.runs.stages(run), recording.WHOLE_RUN, "finish").get("removed", 0)
        changed: list[lineage.Written] = [
            (lineage.table(sluice.settings, "documents"), "documents", summary.documents.deleted),
            (lineage.table(sluice.settings, "chunks"), "chunks", removed),
            (lineage.collection(sluice.settings, run), "points", removed),
        ]
        if run.source.generation.has_graph:
            changed.append((lineage.graph(sluice.settings), "graph", None))
        lineage.emit(run, [(lineage.source(run), None)], changed)
        quarantined = quarantined_by(sluice.catalog, run.source.spec, summary)
    lines, result = summary.lines(quarantined), summary.to_json()
    _log_report(lines, "run summary", result)
    ti.xcom_push(key=xcom.NOTE, value=lines[0])
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
    ti, error = context["ti"], context.get("exception")
    _with_ledgers_run(ti, lambda sluice, run_id: sluice.checkpoints.record_error(run_id, ti.task_id, error))


def close(ti: Any) -> None:
    """The last task of every run; it runs even if others failed. If `finish` did not close the run in the ledger, it is
    closed as failed with the first error of its tasks, and its lease is released. Clearing tasks opens it again."""
    pending = _with_ledgers_run(ti, lambda sluice, run_id: sluice.checkpoints.close(run_id))
    if pending is not None:
        log.warning("sluice: the run is closed as failed. Clear its failed tasks to continue, or trigger a new run")
    if pending:
        log.warning("sluice: %d chunks are deleted from the ledger, but not yet from the other stores", pending)


# --- details ------------------------------------------------------------------------------------------------


def _previewed(sluice: Sluice, request: IngestRequest, ti: Any) -> list[Json]:
    """Reports a dry run. Returns no batch, so the tasks that follow are skipped. Ignores `max_documents` and
    `batch_size`. Raises BadRequest for a replay."""
    report = sluice.dry_run.preview(request)
    lines, result = report.lines(), report.to_json()
    _log_report(lines, "dry run", result)
    ti.xcom_push(key=xcom.DRY_RUN, value=result)
    ti.xcom_push(key=xcom.NOTE, value=lines[1])
    return []


def _log_report(lines: Iterable[str], kind: str, report: Json) -> None:
    for line in lines:
        log.info("sluice: %s", line)
    log.info("sluice: %s as JSON %s", kind, json.dumps(report))


def _with_ledgers_run(ti: Any, call: Callable[[Sluice, UUID], T]) -> T | None:
    """Calls `call` with the run's id. None: `plan` did not create a run in the ledger, or this is a dry run."""
    run_id = ti.xcom_pull(task_ids="plan", key=xcom.RUN)
    if run_id is None:
        return None
    with dependencies.opened(LEASE_S) as sluice:
        try:
            return call(sluice, UUID(run_id))
        except NotFound:
            return None


def _counts(stats: Iterable[StageStat], batch: int, stage: str) -> dict[str, int]:
    return next((dict(each.counts) for each in stats if (each.batch, each.stage) == (batch, stage)), {})


def _request(params: Mapping[str, Any], orchestrator: str) -> IngestRequest:
    """The request in the params. An empty field of the form is None: the source's saved value stays."""
    from sluice.model.source import SourceSpec
    from sluice.pipeline.requests import IngestRequest
    from sluice.sources.schemes import canonical

    replay = params["replay"]
    settings: dict[str, Any] = {name: _tuple(params[name]) for name in ("access_groups", "include", "exclude")}
    settings["retention_days"] = params["retention_days"]
    uri = canonical(params["source"])  # as it is saved, so that its present owner is found
    names = ("mode", "approve_shrink", "max_documents", "max_tokens", "max_cost", "batch_size")
    return IngestRequest(
        SourceSpec(uri, params["collection"], params["tenant"], **settings),
        replay=None if replay is None else tuple(UUID(each) for each in replay),
        orchestrator=orchestrator,
        **{name: params[name] for name in names},
    )


def _tuple(values: Sequence[str] | None) -> tuple[str, ...] | None:
    """The lines of a form's field without the blank ones. If all are blank, None: the source's saved value stays."""
    if not values:
        return None if values is None else ()
    return tuple(each for each in values if each.strip()) or None
