"""Bodies of the tasks of `sluice_ingest`: open the tools, one call into `batches`, one line of lineage."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID, uuid4

if TYPE_CHECKING:
    from sluice.airflow import lineage
    from sluice.model.gates import GateResult
    from sluice.model.run import BatchRef, Run
    from sluice.model.source import SourceSpec
    from sluice.ports.tools import Tools
    from sluice.settings import Settings

T = TypeVar("T")
log = logging.getLogger(__name__)

RUN_KEY = "sluice_run_id"
PREVIEW_KEY = "dry_run"  # XCom of `plan`: what a dry run found
# Artefact → suite of the gate that judged its rows. The task that reads it tells, because OpenLineage knows assertions
# of inputs only.
_JUDGED_BY = {"1-extracted": "documents", "3-chunked": "chunks", "4-embedded": "vectors"}
LEASE_S = 1800.0  # between two tasks of a run nobody renews it; they may wait for a slot in a pool
Json = dict[str, Any]


def plan(params: Mapping[str, Any], dag_run: Any, ti: Any) -> list[Json]:
    """Scan the source, or take up what is to be replayed; returns one BatchRef a batch. The run's id goes beside it in
    XCom, for `finish` and `close`. A dry run has no such id and no batch: its findings go to the log and to XCom."""
    from sluice.airflow import lineage, notes, permission
    from sluice.model.sizes import size_in_words
    from sluice.pipeline import checkpoints

    with _noting(ti), _tools() as (tools, settings):
        spec = _spec(params)
        approved = params["approve_shrink"]
        permission.check(tools.ledger, spec, dag_run, roots=settings.roots, approve_shrink=approved)
        if params["dry_run"]:
            return _previewed(tools, spec, params, ti)
        permission.check_hiding(tools.ledger, spec, approved=params["approve_hiding"])
        run_id = uuid4()  # an attempt of its own: a retry after a crash scans anew
        ti.xcom_push(key=RUN_KEY, value=str(run_id))  # before it begins, so that `close` finds what a kill left
        how = {name: params[name] for name in ("batch_size", "max_tokens", "max_cost")}
        how |= {"run_id": run_id, "orchestrator": orchestrator(dag_run.run_id, dag_run.dag_id)}
        if params["replay"] is not None:
            refs = checkpoints.plan_replay(tools, spec, [UUID(each) for each in params["replay"]], **how)
        else:
            few = params["max_documents"]
            refs = checkpoints.plan(tools, spec, params["mode"], max_documents=few, approve_shrink=approved, **how)
        run = tools.ledger.runs.get(run_id)
        planned, size = sum(ref.documents for ref in refs), sum(ref.size_bytes for ref in refs)
        lineage.emit(
            run,
            [(lineage.source(run), None)],
            [(lineage.table(settings, "documents"), "documents", planned)],
        )
    work = f"{planned} documents need work, {size_in_words(size)}, in {len(refs)} batches"
    log.info("sluice: %s", work)
    ti.xcom_push(key=notes.KEY, value=work)
    return [ref.to_json() for ref in refs]


@contextmanager
def _noting(ti: Any) -> Iterator[None]:
    """The note of a run that fails here says why."""
    from sluice.airflow import notes
    from sluice.errors import SluiceError

    try:
        yield
    except SluiceError as error:
        ti.xcom_push(key=notes.KEY, value=f"failed: {error}")
        raise


def orchestrator(dag_run_id: str, dag_id: str = "sluice_ingest") -> str:
    """How the ledger names a DAG run of ours."""
    return f"airflow:{dag_id}/{dag_run_id}"


def extract(ref: Json) -> Json:
    from sluice.pipeline import checkpoints

    return _step(ref, checkpoints.extract, "source", "1-extracted")


def validate(ref: Json) -> Json:
    from sluice.pipeline import checkpoints

    return _step(ref, checkpoints.validate, "1-extracted", "2-validated")


def chunk(ref: Json) -> Json:
    from sluice.pipeline import checkpoints

    return _step(ref, checkpoints.chunk, "2-validated", "3-chunked")


def embed(ref: Json) -> Json:
    from sluice.pipeline import checkpoints

    return _step(ref, checkpoints.embed, "3-chunked", "4-embedded")


def load(ref: Json) -> Json:
    from sluice.pipeline import checkpoints

    return _step(ref, checkpoints.load, "4-embedded", "stores")


def finish(ti: Any, outlet_events: Any, alias: Any, everything: Any) -> Json:
    """Close the run: deletions, agreement of the stores, summary in this log and in the ledger, the events of the
    collection's asset and of `everything`, which stands for all of them. Skipped in a dry run."""
    from airflow.sdk import Asset
    from airflow.sdk.exceptions import AirflowSkipException

    from sluice.airflow import lineage, links, notes
    from sluice.pipeline import checkpoints, recording
    from sluice.pipeline.summary import refused_by, summary_lines

    run_id = ti.xcom_pull(task_ids="plan", key=RUN_KEY)
    if run_id is None:
        raise AirflowSkipException("A dry run: nothing was done, so there is nothing to finish.")
    with _tools() as (tools, settings):
        summary = checkpoints.finish(tools, UUID(run_id))
        run = tools.ledger.runs.get(UUID(run_id))
        removed = _count(tools, run, recording.WHOLE_RUN, "finish", "removed")
        changed: list[lineage.Written] = [
            (lineage.table(settings, "documents"), "documents", summary["documents"]["deleted"]),
            (lineage.table(settings, "chunks"), "chunks", removed),
            (lineage.collection(settings, run), "points", removed),
        ]
        if run.source.generation.profile.entities != "off":
            changed.append((lineage.graph(settings), "graph", None))
        lineage.emit(run, [(lineage.source(run), None)], changed)
        refused = refused_by(tools, run.source.spec, summary)
    lines = summary_lines(summary, refused)
    for line in lines:
        log.info("sluice: %s", line)
    ti.xcom_push(key=notes.KEY, value=lines[0])
    log.info("sluice: run summary as JSON %s", json.dumps(summary))
    if summary["stopped"]:
        log.warning("sluice: stopped by its %s, %d documents remain", summary["stopped"], summary["remaining"])
    log.info("sluice: gate results at %s", links.address(summary["gates"]))
    # `collection` is validated by the ledger: it is safe in a URI.
    asset = Asset(name=f"sluice_{summary['collection']}", uri=f"sluice://collections/{summary['collection']}")
    extra = {name: summary[name] for name in ("run_id", "documents", "cost", "stopped", "remaining")}
    outlet_events[alias].add(asset, extra=extra)
    outlet_events[everything].extra = {"collection": summary["collection"], **extra}
    return summary


def failed(context: Mapping[str, Any]) -> None:
    """`on_failure_callback` of every task: the error is recorded, and the first one of the run stays. The run goes on:
    other batches may be at work, and `close` ends it."""
    from sluice.pipeline import checkpoints

    ti, error = context["ti"], context.get("exception")
    _with_ledgers_run(ti, lambda tools, run_id: checkpoints.record_error(tools, run_id, ti.task_id, error))


def close(ti: Any) -> None:
    """The last task of every run, whatever became of the others: a run of the ledger that `finish` did not close is
    closed as failed, with the first error that a task had, and the source is free. Clearing tasks opens it again."""
    from sluice.pipeline import checkpoints

    pending = _with_ledgers_run(ti, checkpoints.close)
    if pending is not None:
        log.warning("sluice: the run is closed as failed. Clear its failed tasks to go on, or trigger it anew")
    if pending:
        log.warning("sluice: removed from the ledger, and still to be removed from the stores: %d chunks", pending)


# --- details ------------------------------------------------------------------------------------------------


def _previewed(tools: Tools, spec: SourceSpec, params: Mapping[str, Any], ti: Any) -> list[Json]:
    """No batch: the tasks that follow are skipped. `max_documents` and `batch_size` have no say in it."""
    from sluice.airflow import notes
    from sluice.errors import BadRequest
    from sluice.pipeline import preview

    if params["replay"] is not None:
        raise BadRequest(
            "A dry run scans a source, and a replay does not. Nothing was changed. Leave out dry_run or replay; "
            "`sluice quarantine list` shows what a replay would work on."
        )
    how = {name: params[name] for name in ("approve_shrink", "max_tokens", "max_cost")}
    report = preview.preview(tools, spec, params["mode"], **how)
    lines = preview.preview_lines(report)
    for line in lines:
        log.info("sluice: %s", line)
    log.info("sluice: dry run as JSON %s", json.dumps(report))
    ti.xcom_push(key=PREVIEW_KEY, value=report)
    ti.xcom_push(key=notes.KEY, value=lines[1])
    return []


def _with_ledgers_run(ti: Any, call: Callable[[Tools, UUID], T]) -> T | None:
    """None where the task plan did not come as far as a run in the ledger, and in a dry run."""
    from sluice.errors import NotFound

    run_id = ti.xcom_pull(task_ids="plan", key=RUN_KEY)
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

    with opened() as (built, settings):
        yield replace(built, lease_s=max(LEASE_S, settings.lease_s)), settings


def _step(ref: Json, verb: Callable[[Tools, BatchRef], BatchRef], before: str, after: str) -> Json:
    from sluice.airflow import lineage
    from sluice.model.run import BatchRef

    batch = BatchRef.from_json(ref)
    with _tools() as (tools, settings):
        done = verb(tools, batch)
        run = tools.ledger.runs.get(UUID(batch.run_id))
        lineage.emit(run, *_datasets(tools, settings, run, batch.batch, before, after, done.documents))
    log.info("sluice: batch %d, %s: %d documents", batch.batch, after, done.documents)
    return done.to_json()


def _datasets(
    tools: Tools, settings: Settings, run: Run, batch: int, before: str, after: str, documents: int
) -> tuple[list[lineage.Read], list[lineage.Written], Sequence[GateResult], tuple[int, int, int] | None]:
    """What a step read and wrote, what the gate said of what it read, and what embedding cost."""
    from sluice.airflow import lineage

    gates = [each for each in tools.ledger.quality.gates(run, batch) if each.suite == _JUDGED_BY.get(before)]
    cache = lineage.table(settings, "embeddings")
    if after == "stores":
        loaded: list[lineage.Read] = [(lineage.artefact(run, before), before), (cache, "embeddings")]
        return loaded, _stores(tools, settings, run, batch, documents), gates, None
    written: list[lineage.Written] = [(lineage.artefact(run, after), after, documents)]
    if before == "source":
        read: list[lineage.Read] = [(lineage.source(run), None), (lineage.table(settings, "documents"), "documents")]
        return read, written, (), None
    read = [(lineage.artefact(run, before), before)]
    if after != "4-embedded":
        return read, written, gates, None
    computed, cached, tokens = (_count(tools, run, batch, "embed", each) for each in ("computed", "cached", "tokens"))
    return read, [*written, (cache, "embeddings", computed)], gates, (computed, cached, tokens)


def _stores(tools: Tools, settings: Settings, run: Run, batch: int, documents: int) -> list[lineage.Written]:
    from sluice.airflow import lineage

    chunks = _count(tools, run, batch, "load", "written")
    written: list[lineage.Written] = [
        (lineage.table(settings, "versions"), "versions", documents),
        (lineage.table(settings, "chunks"), "chunks", chunks),
        (lineage.collection(settings, run), "points", chunks),
    ]
    if run.source.generation.profile.entities != "off":
        written.append((lineage.graph(settings), "graph", None))
    return written


def _count(tools: Tools, run: Run, batch: int, stage: str, name: str) -> int:
    stats = [each for each in tools.ledger.runs.stages(run) if (each.batch, each.stage) == (batch, stage)]
    return sum(each.counts.get(name, 0) for each in stats)


def _spec(params: Mapping[str, Any]) -> SourceSpec:
    """None where the form was left empty: what is saved of the source is kept."""
    from sluice.model.source import SourceSpec
    from sluice.sources.roots import canonical

    return SourceSpec(
        uri=canonical(params["source"]),  # as it is saved: whose it is now must be found
        collection=params["collection"],
        tenant=params["tenant"],
        access_groups=_tuple(params["access_groups"]),
        retention_days=params["retention_days"],
        include=_tuple(params["include"]),
        exclude=_tuple(params["exclude"]),
    )


def _tuple(values: Sequence[str] | None) -> tuple[str, ...] | None:
    """Without the blank lines of a form's field. Only blank lines are as an empty field: what is saved stays."""
    if not values:
        return None if values is None else ()
    return tuple(each for each in values if each.strip()) or None
