"""Bodies of the tasks of `sluice_ingest_all`: which saved sources are taken in now, and how that went."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid5

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
    """`elements`: the arguments of one `IngestSaved` each. `left_out`: why others are not among them, by name."""

    elements: list[Json] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """Names of sources; why those failed or are left out."""

    done: list[str]
    failed: dict[str, str]
    left_out: dict[str, str]


def events(dag_run: Any, triggering: Iterable[Any], every: Any) -> list[Any]:
    """Of an asset-triggered run: the events that started it, and what has come since; of others none.

    An event that comes while Airflow makes the run of an earlier one is in neither that run nor one of its own: it
    would lie there until the next one. `every`: the accessor of all events; its `after` includes the moment itself.
    """
    if getattr(dag_run.run_type, "value", dag_run.run_type) != "asset_triggered":
        return []
    since = min((each.timestamp for each in triggering), default=dag_run.run_after)
    return list(every.after(since.isoformat()))


def plan(params: Mapping[str, Any], dag_run: Any, ti: Any, events: Sequence[Any] = ()) -> list[Json]:
    """The sources that asset events name, else those that are due; as far as whoever triggered the run may write.

    Raises Forbidden where the run does not say who triggered it.
    """
    from sluice.access import ingestion
    from sluice.airflow import permission
    from sluice.airflow.dependencies import opened

    user = permission.triggered_by(dag_run)
    with opened() as (tools, _):
        may = ingestion.may_repeat(tools.ledger, user)
        saved = tools.ledger.sources.saved(params["tenant"] or None, params["collection"] or None)
        saved = [each for each in saved if may(each.spec)]
    if events:
        choice = named(saved, events)
    else:
        choice = due_now(saved, datetime.now(UTC), dag_run.run_id if params["all"] else None)
    for name, why in choice.left_out.items():
        log.warning("sluice: %s is left out: %s", name, why)
    log.info("sluice: %d of %d saved sources are taken in", len(choice.elements), len(saved))
    ti.xcom_push(key=LEFT_OUT, value=choice.left_out)
    return choice.elements


def due_now(saved: Sequence[SavedSource], now: datetime, asked_by: str | None = None) -> Choice:
    """What is due, the longest waiting first; whatever is not paused where `asked_by` names the run that asks for all.

    A source that another run holds is left out: it stays due until a run of it has started since.
    """
    choice = Choice()
    wanted = []
    for each in saved:
        occasion = asked_by or str(each.due(now) or "")
        if each.schedule.paused and asked_by:
            choice.left_out[_name(each.spec)] = "it is paused"
        elif each.held_by and occasion:
            choice.left_out[_name(each.spec)] = f"{each.held_by} works on it now"
        elif occasion:
            wanted.append((each.next_due() or now, occasion, each))
    wanted.sort(key=lambda one: one[0])
    for _, _, each in wanted[MAX_SOURCES:]:
        choice.left_out[_name(each.spec)] = f"a run takes in {MAX_SOURCES} at most; the next one goes on"
    choice.elements = [_element(each, occasion) for _, occasion, each in wanted[:MAX_SOURCES]]
    return choice


def named(saved: Sequence[SavedSource], events: Sequence[Any]) -> Choice:
    """The sources that the events name, each once. An event that names none becomes an element that fails and says so.

    A source that another run holds is not left out: what changed may have changed behind that run's back. The run's id
    comes from the event: one that a later run is told again finds its own.
    """
    choice = Choice()
    known = {(each.spec.tenant, each.spec.collection, each.spec.uri): each for each in saved}
    elements: dict[str, Json] = {}
    for event in events[:MAX_SOURCES]:
        place, name = _place(event.extra), f"event {event.id}"
        found = known.get(place) if place else None
        if found and found.schedule.paused:
            choice.left_out[_name(found.spec)] = "it is paused"
        elif found:
            elements[str(found.source_id)] = _element(found, name)
        else:
            elements[name] = {"title": name, "refused": _refusal(place)}
    if len(events) > MAX_SOURCES:
        choice.left_out["events"] = f"{len(events) - MAX_SOURCES} of {len(events)}; trigger the DAG with `all` instead"
    choice.elements = list(elements.values())
    return choice


def report(elements: Sequence[Json] | None, dag_run: Any, ti: Any) -> Json:
    """What became of each source. Raises Terminal that names those that failed; the others are done all the same."""
    from sluice.errors import Terminal

    if elements is None:
        raise Terminal("The plan did not finish, so no source was taken in. See the log of the task plan.")
    states = ti.get_task_states(dag_run.dag_id, task_ids=["ingest"], run_ids=[dag_run.run_id]).get(dag_run.run_id, {})
    outcomes = [(each, str(states.get(f"ingest_{index}"))) for index, each in enumerate(elements)]
    failed = _reasons([each for each, state in outcomes if state not in ("success", "skipped")])
    outcome = Outcome(
        done=[each["title"] for each, state in outcomes if state == "success"],
        failed={title: why for title, why in failed.items() if not why.startswith("Busy:")},
        left_out={
            **(ti.xcom_pull(task_ids="plan", key=LEFT_OUT) or {}),
            **{each["title"]: "an earlier run asked for it" for each, state in outcomes if state == "skipped"},
            **{title: why for title, why in failed.items() if why.startswith("Busy:")},
        },
    )
    told = asdict(outcome)
    log.info("sluice: %s", json.dumps(told))
    ti.xcom_push(key=SUMMARY, value=told)
    if outcome.failed:
        lines = "".join(f"\n- {title}: {why}" for title, why in outcome.failed.items())
        others = ", the others are done" if outcome.done else ""
        raise Terminal(f"{len(outcome.failed)} of {len(outcomes)} sources failed{others}:{lines}")
    return told


# --- details ------------------------------------------------------------------------------------------------


def _element(saved: SavedSource, occasion: str) -> Json:
    """The run's id follows from the source and the occasion: a tick that comes before the run has started finds it."""
    spec = saved.spec
    return {
        "title": _name(spec),
        "conf": {"source": spec.uri, "collection": spec.collection, "tenant": spec.tenant},
        "trigger_run_id": f"saved__{uuid5(saved.source_id, occasion)}",
    }


def _name(spec: SourceSpec) -> str:
    name = f"{spec.tenant}/{spec.collection} {spec.uri}"
    return name if len(name) <= _TITLE_CHARS else f"{name[:150]}…{name[-49:]}"


def _place(extra: Any) -> Place | None:
    from sluice.sources.uri import canonical

    given = extra if isinstance(extra, Mapping) else {}
    texts = [value for key in ("tenant", "collection", "source") if isinstance(value := given.get(key), str)]
    return (texts[0], texts[1], canonical(texts[2])) if len(texts) == 3 else None


def _refusal(place: Place | None) -> str:
    """Repeats no value of an event that could be anything."""
    if place is None:
        return (
            'The event does not name a source. Its extra must hold three texts: {"tenant": …, "collection": …, '
            '"source": <uri>}. Nothing was changed; send it again.'
        )
    tenant, collection, uri = place
    return (
        f"{uri[:500]} is no saved source of collection {collection[:80]} in tenant {tenant[:80]}. Nothing was changed. "
        "`sluice sources list` shows those that are; an ingest by a user who may write there saves one."
    )


def _reasons(elements: Sequence[Json]) -> dict[str, str]:
    """Why each failed: as the plan refused it, or as the ledger has it of the run."""
    from sluice.airflow.dependencies import opened
    from sluice.airflow.ingest import orchestrator

    found = {each["title"]: each["refused"] for each in elements if "refused" in each}
    tried = [each for each in elements if "refused" not in each]
    if not tried:
        return found
    with opened() as (tools, _):
        saved = {(each.spec.tenant, each.spec.collection, each.spec.uri): each for each in tools.ledger.sources.saved()}
        for each in tried:
            place = tuple(each["conf"][key] for key in ("tenant", "collection", "source"))
            run = tools.ledger.runs.last_by(saved[place], orchestrator(each["trigger_run_id"]))
            unknown = f"see the run {each['trigger_run_id']} of sluice_ingest"
            found[each["title"]] = run.error if run and run.error else unknown
    return found
