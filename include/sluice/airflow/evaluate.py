"""Bodies of the tasks of `sluice_evaluate`."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sluice.airflow import dependencies, notify, permission
from sluice.errors import BadRequest, NotFound, Terminal

if TYPE_CHECKING:
    from sluice.model.evaluation import Evaluation
    from sluice.model.golden import GoldenSet
    from sluice.wiring.application import Sluice

log = logging.getLogger(__name__)

SKIPPED = "skipped"
MAX_SETS = 1000  # of one run; Airflow maps over 1,024 at most ([core] max_map_length)
DROPPED = "search_quality_dropped"  # event of the notification
Json = dict[str, Any]
Place = tuple[str, str]  # tenant, collection


def plan(params: Mapping[str, Any], dag_run: Any, ti: Any, events: Sequence[Any] = ()) -> list[Json]:
    """The golden sets to evaluate: of the collections that the events name, else those that the params choose. Pushes
    the reasons of skipped collections to XCom. Raises Forbidden if the run's user may not evaluate the named tenant."""
    from sluice.access import evaluation

    user = permission.triggered_by(dag_run)
    with dependencies.opened() as sluice:
        if params["tenant"] is not None:
            evaluation.check_tenant(sluice.ledger.grants, user, params["tenant"])
        may = evaluation.may_evaluate(sluice.ledger.grants, user)
        places = _places(events) if events else {(params["tenant"], params["collection"]): True}
        elements: list[Json] = []
        skipped: list[str] = []
        for (tenant, collection), changed in places.items():
            sets = [
                each for each in sluice.evaluation.sets(tenant, collection, params["golden_set"]) if may(each.tenant)
            ]
            elements += [_element(each, changed) for each in sets]
            if not sets:
                skipped.append(_without_set(tenant, collection, params["golden_set"], user))
    for why in skipped:
        log.info("sluice: skipped: %s", why)
    if len(elements) > MAX_SETS:
        skipped.append(f"{len(elements) - MAX_SETS} golden sets: a run evaluates at most {MAX_SETS}; name a collection")
    ti.xcom_push(key=SKIPPED, value=skipped)
    return elements[:MAX_SETS]


def learn(elements: Iterable[Json] | None, params: Mapping[str, Any]) -> list[str]:
    """Learns the weights of search of the collections that have changed. Returns in words what is new."""
    if not params["learn_weights"]:
        return []
    places = dict.fromkeys((each["tenant"], each["collection"]) for each in elements or () if each["changed"])
    changed: list[str] = []
    with dependencies.opened() as sluice:
        for tenant, collection in places:
            try:
                tuned = sluice.tuning.learn(tenant, collection)
            except (BadRequest, NotFound) as error:
                log.warning("sluice: no weights learned for %s: %s", collection, error)
                continue
            log.info("sluice: %s", tuned.in_words())
            changed += [tuned.in_words()] if tuned.changed else []
    return changed


def measure(element: Json, params: Mapping[str, Any], dag_run: Any) -> Json:
    """Evaluates one golden set, and records and reports a drop. Raises Terminal if the quality dropped and the check
    blocks."""
    from sluice.airflow.ingest import orchestrator
    from sluice.maintenance.evaluation import EvaluationRequest, in_words

    request = EvaluationRequest(
        **{name: element[name] for name in ("tenant", "collection", "golden_set", "changed")},
        top_k=params["top_k"],
        accept_drop=params["accept_drop"],
        orchestrator=orchestrator(dag_run.run_id, dag_run.dag_id),
    )
    with dependencies.opened() as sluice:
        evaluation = sluice.evaluation.evaluate(request)
        if evaluation is None:
            log.info("sluice: %s: nothing has changed since its last evaluation", element["title"])
            return {"title": element["title"], "result": "unchanged", "words": f"{element['title']}: unchanged"}
        _emit_lineage(sluice, evaluation)
    words = in_words(evaluation)
    log.info("sluice: %s", words)
    log.info("sluice: evaluation as JSON %s", json.dumps(evaluation.to_json(), default=str))
    result = "passed" if evaluation.comparison is None else evaluation.comparison.result
    if result != "passed":
        notify.tell(DROPPED, dag_run.dag_id, dag_run.run_id, f"Search quality dropped in {words}. {_page(evaluation)}")
    if result == "failed":
        raise Terminal(
            f"Search quality dropped in {words}. The result is recorded. Look at what changed in the collection; if "
            "the new level is right, trigger sluice_evaluate with accept_drop."
        )
    return {"title": element["title"], "result": result, "words": words}


def report(measured: Iterable[Json] | None, learned: Iterable[str] | None, ti: Any) -> Json:
    """The results and new weights in words, and the reasons of skipped collections."""
    skipped = ti.xcom_pull(task_ids="plan", key=SKIPPED) or []
    results = list(measured or ())
    counts = {
        "evaluated": [each["words"] for each in results if each["result"] != "unchanged"],
        "unchanged": [each["title"] for each in results if each["result"] == "unchanged"],
        "warnings": [each["words"] for each in results if each["result"] == "warning"],
        "weights": list(learned or ()),
        "skipped": list(skipped),
    }
    log.info("sluice: %s", json.dumps(counts))
    return counts


# --- details ------------------------------------------------------------------------------------------------


def _places(events: Sequence[Any]) -> dict[Place, bool]:
    """The collections that events of ingests name → whether one of their runs changed something."""
    places: dict[Place, bool] = {}
    for event in events:
        extra = event.extra if isinstance(event.extra, Mapping) else {}
        tenant, collection = extra.get("tenant"), extra.get("collection")
        if not isinstance(tenant, str) or not isinstance(collection, str):
            log.warning("sluice: event %s names no tenant and collection; it is ignored", getattr(event, "id", "?"))
            continue
        places[tenant, collection] = places.get((tenant, collection), False) or _changed(extra.get("documents"))
    return places


def _changed(documents: Any) -> bool:
    """Whether a run changed documents, by the counts in its event. Without counts: perhaps."""
    if not isinstance(documents, Mapping):
        return True
    return any(documents.get(name) for name in ("new", "changed", "moved", "deleted"))


def _element(golden_set: GoldenSet, changed: bool) -> Json:
    place = golden_set.collection if golden_set.tenant == "default" else f"{golden_set.tenant}/{golden_set.collection}"
    return {
        "title": f"{place}: {golden_set.name}",
        "tenant": golden_set.tenant,
        "collection": golden_set.collection,
        "golden_set": golden_set.name,
        "changed": changed,
    }


def _without_set(tenant: str | None, collection: str | None, name: str | None, user: str | None) -> str:
    """The reason is the same whether there is no such set or collection, or the user may not know of it."""
    what = f"golden set {name}" if name else "golden set"
    may = f" that {user} may evaluate (with a grant to write with all groups)" if user else ""
    if collection is None:
        return f"there is no {what}{may}; make one: sluice golden import"
    of = f" of tenant {tenant}" if tenant else ""
    return f"{collection}{of} has no {what}{may}; make one: sluice golden import --collection {collection}"


def _emit_lineage(sluice: Sluice, evaluation: Evaluation) -> None:
    """The gate's result on the backing collection, and the row that was written. Nothing where no run is known."""
    from sluice.airflow import lineage
    from sluice.errors import NotFound
    from sluice.maintenance.evaluation import recorded_gate

    if evaluation.run_id is None:
        return
    try:
        run = sluice.ledger.runs.get(evaluation.run_id)
    except NotFound:  # pruned meanwhile
        return
    gate = recorded_gate(evaluation)
    written: lineage.Written = (lineage.table(sluice.settings, "evaluations"), "evaluations", 1)
    read: lineage.Read = (lineage.collection(sluice.settings, run), "points")
    lineage.emit(run, [read], [written], [gate] if gate else [])


def _page(evaluation: Evaluation) -> str:
    from sluice.airflow import links

    return f"History: {links.evaluations(evaluation.collection, evaluation.tenant)}"
