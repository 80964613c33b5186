"""Bodies of the tasks of `sluice_ingest_all`: choose the saved sources to ingest now, and report the results."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid5

from sluice.airflow import dependencies, permission
from sluice.errors import Terminal

if TYPE_CHECKING:
    from sluice.model.source import SavedSource, SourceSpec

log = logging.getLogger(__name__)

LEFT_OUT, SUMMARY = "left_out", "summary"
MAX_SOURCES = 1000  # of one run; Airflow maps over 1,024 at most ([core] max_map_length)
_TITLE_CHARS = 200  # Airflow's column of such names holds 250
Json = dict[str, Any]
Place = tuple[str, str, str]  # tenant, collection, uri


@dataclass
class Choice:
    """`elements`: the arguments of one `IngestSaved` each. `left_out`: name of a skipped source → the reason."""

    elements: list[Json] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


def events(dag_run: Any, triggering: Iterable[Any], every: Any) -> list[Any]:
    """The events of an asset-triggered run: those that started it, and those since. Other runs have none.

    Later events are included because of a race: an event that arrives while Airflow creates the run of an earlier one
    is not in that run and starts none of its own; it would wait for the next event. `every`: the accessor of all
    events; its `after` includes the time itself.
    """
    if getattr(dag_run.run_type, "value", dag_run.run_type) != "asset_triggered":
        return []
    since = min((each.timestamp for each in triggering), default=dag_run.run_after)
    return list(every.after(since.isoformat()))


def plan(params: Mapping[str, Any], dag_run: Any, ti: Any, events: Sequence[Any] = ()) -> list[Json]:
    """The sources that asset events name, else those that are due. Only sources that the run's user may write.

    Raises Forbidden if the run should have a user and has none.
    """
    from sluice.access import ingestion

    user = permission.triggered_by(dag_run)
    with dependencies.opened() as sluice:
        may = ingestion.may_repeat(sluice.ledger.grants, user)
        saved = sluice.ledger.sources.saved(params["tenant"] or None, params["collection"] or None)
        saved = [each for each in saved if may(each.spec)]
    if events:
        choice = named(saved, events)
    else:
        choice = due_now(saved, datetime.now(UTC), dag_run.run_id if params["all"] else None)
    for name, why in choice.left_out.items():
        log.warning("sluice: %s is skipped: %s", name, why)
    log.info("sluice: %d of %d saved sources are ingested", len(choice.elements), len(saved))
    ti.xcom_push(key=LEFT_OUT, value=choice.left_out)
    return choice.elements


def due_now(saved: Sequence[SavedSource], now: datetime, requested_by: str | None = None) -> Choice:
    """The sources that are due, the longest waiting first. `asked_by`: the id of a run that asks for all sources; then
    all that are not paused.

    A source whose lease another run holds is skipped: it stays due until a later run of it has started.
    """
    choice = Choice()
    wanted = []
    for each in saved:
        occasion = requested_by or str(each.due(now) or "")
        if each.schedule.paused and requested_by:
            choice.left_out[_name(each.spec)] = "it is paused"
        elif each.held_by and occasion:
            choice.left_out[_name(each.spec)] = f"{each.held_by} holds its lease"
        elif occasion:
            wanted.append((each.next_due() or now, occasion, each))
    wanted.sort(key=lambda one: one[0])
    for _, _, each in wanted[MAX_SOURCES:]:
        choice.left_out[_name(each.spec)] = f"a run ingests at most {MAX_SOURCES} sources; the next run continues"
    choice.elements = [_element(each, occasion) for _, occasion, each in wanted[:MAX_SOURCES]]
    return choice


def named(saved: Sequence[SavedSource], events: Sequence[Any]) -> Choice:
    """The sources that the events name, each once. An event that names no source becomes an element that fails with the
    reason.

    A source whose lease another run holds is not skipped: it may have changed after that run's scan. The run's id is
    derived from the event, so an event that a later run gets again finds the same run.
    """
    choice = Choice()
    known = _by_place(saved)
    elements: dict[str, Json] = {}
    for event in events[:MAX_SOURCES]:
        place, name = _place(event.extra), f"event {event.id}"
        source = known.get(place) if place else None
        if source and source.schedule.paused:
            choice.left_out[_name(source.spec)] = "it is paused"
        elif source:
            elements[str(source.source_id)] = _element(source, name)
        else:
            elements[name] = {"title": name, "rejection": _rejection(place)}
    if len(events) > MAX_SOURCES:
        choice.left_out["events"] = f"{len(events) - MAX_SOURCES} of {len(events)}; trigger the DAG with `all` instead"
    choice.elements = list(elements.values())
    return choice


def report(elements: Sequence[Json] | None, dag_run: Any, ti: Any) -> Json:
    """The results by name of the source: those ingested, and the reasons of failures and of skipped sources. Raises
    Terminal that names the sources that failed; the others are ingested nevertheless."""
    if elements is None:
        raise Terminal("The task plan failed, so no source was ingested. See the log of the task plan.")
    states = ti.get_task_states(dag_run.dag_id, task_ids=["ingest"], run_ids=[dag_run.run_id]).get(dag_run.run_id, {})
    outcomes = [(each, str(states.get(f"ingest_{index}"))) for index, each in enumerate(elements)]
    failed = _reasons([each for each, state in outcomes if state not in ("success", "skipped")])
    busy = {title: failed.pop(title) for title, why in list(failed.items()) if why.startswith("Busy:")}
    skipped = {each["title"]: "an earlier run triggered it" for each, state in outcomes if state == "skipped"}
    done = [each["title"] for each, state in outcomes if state == "success"]
    left_out = (ti.xcom_pull(task_ids="plan", key=LEFT_OUT) or {}) | skipped | busy
    result = {"done": done, "failed": failed, "left_out": left_out}
    log.info("sluice: %s", json.dumps(result))
    ti.xcom_push(key=SUMMARY, value=result)
    if failed:
        lines = "".join(f"\n- {title}: {why}" for title, why in failed.items())
        others = ", the others succeeded" if done else ""
        raise Terminal(f"{len(failed)} of {len(outcomes)} sources failed{others}:{lines}")
    return result


# --- details ------------------------------------------------------------------------------------------------


def _element(saved: SavedSource, occasion: str) -> Json:
    """The run's id is derived from the source and the occasion: if the run has not started yet, a later run of this DAG
    finds it and triggers no second one."""
    spec = saved.spec
    return {
        "title": _name(spec),
        "conf": {"source": spec.uri, "collection": spec.collection, "tenant": spec.tenant},
        "trigger_run_id": f"saved__{uuid5(saved.source_id, occasion)}",
    }


def _name(spec: SourceSpec) -> str:
    name = f"{spec.tenant}/{spec.collection} {spec.uri}"
    return name if len(name) <= _TITLE_CHARS else f"{name[:150]}…{name[-49:]}"


def _by_place(saved: Iterable[SavedSource]) -> dict[Place, SavedSource]:
    return {(each.spec.tenant, each.spec.collection, each.spec.uri): each for each in saved}


def _place(extra: Any) -> Place | None:
    from sluice.sources.schemes import canonical

    values = extra if isinstance(extra, Mapping) else {}
    texts = [value for key in ("tenant", "collection", "source") if isinstance(value := values.get(key), str)]
    return (texts[0], texts[1], canonical(texts[2])) if len(texts) == 3 else None


def _rejection(place: Place | None) -> str:
    """The error for an event without a saved source. It shortens the event's values and shows no value of a wrong
    type."""
    if place is None:
        return (
            'The event does not name a source. Nothing was changed. Its extra must hold three strings: {"tenant": …, '
            '"collection": …, "source": <uri>}. Correct it and send it again.'
        )
    tenant, collection, uri = place
    return (
        f"{uri[:500]} is no saved source of collection {collection[:80]} in tenant {tenant[:80]}. Nothing was changed. "
        "`sluice sources list` shows the saved sources; an ingest by a user who may write there saves a new one."
    )


def _reasons(elements: Sequence[Json]) -> dict[str, str]:
    """The reason of each failure: from the plan, or the run's error in the ledger."""
    from sluice.airflow.ingest import orchestrator

    reasons = {each["title"]: each["rejection"] for each in elements if "rejection" in each}
    tried = [each for each in elements if "rejection" not in each]
    if not tried:
        return reasons
    with dependencies.opened() as sluice:
        saved = _by_place(sluice.ledger.sources.saved())
        for each in tried:
            conf, run_id = each["conf"], each["trigger_run_id"]
            source = saved[conf["tenant"], conf["collection"], conf["source"]]
            run = sluice.ledger.runs.last_by(source, orchestrator(run_id))
            unknown = f"see the run {run_id} of sluice_ingest"
            reasons[each["title"]] = run.error if run and run.error else unknown
    return reasons
