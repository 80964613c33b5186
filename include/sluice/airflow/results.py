"""The result of a run as one line, from what its tasks left in XCom."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sluice.airflow import xcom

_RETURNED = "return_value"
# DAG → the tasks and keys that its line needs. Errors are apart.
READ: dict[str, tuple[tuple[str, str], ...]] = {
    "sluice_ingest": (("plan", xcom.NOTE), ("finish", xcom.NOTE)),
    "sluice_ingest_all": (("report", _RETURNED),),
    "sluice_reconcile": (("compare", _RETURNED),),
    "sluice_retention": (("look", _RETURNED), ("purge", _RETURNED)),
    "sluice_evaluate": (("report", _RETURNED),),
}

Values = Mapping[str, Any]
XComs = Mapping[tuple[str, str], Any]  # task and key → value


def _ingest(xcoms: XComs) -> str | None:
    """The line that `finish` left, else that of `plan`."""
    line = xcoms.get(("finish", xcom.NOTE)) or xcoms.get(("plan", xcom.NOTE))
    return line if isinstance(line, str) else None


def _ingest_all(xcoms: XComs) -> str | None:
    if (report := _returned(xcoms, "report")) is None:
        return None
    done, skipped = len(report["done"]), len(report["left_out"])
    return ", ".join([f"{done} ingested", *([f"{skipped} skipped"] if skipped else [])])


def _reconcile(xcoms: XComs) -> str | None:
    if (report := _returned(xcoms, "compare")) is None:
        return None
    counts = ", ".join(f"{report[name]:,} {name}" for name in ("missing", "surplus", "stale", "repaired"))
    return f"{counts} in {_counted(len(report['collections']), 'collection')}"


def _retention(xcoms: XComs) -> str | None:
    if purged := _returned(xcoms, "purge"):
        return f"{_documents(purged)} deleted"
    if (expired := _returned(xcoms, "look")) is None:
        return None
    if not expired["documents"]:
        return "no document has expired"
    return f"{_documents(expired)} expired, none deleted"


def _evaluate(xcoms: XComs) -> str | None:
    """The result where there is one, else numbers; warnings and reasons of skipped collections first."""
    if (report := _returned(xcoms, "report")) is None:
        return None
    evaluated, unchanged = report["evaluated"], report["unchanged"]
    parts = [*report["warnings"], *(f"skipped: {why}" for why in report["skipped"])]
    if len(evaluated) == 1 and not report["warnings"]:
        parts += evaluated
    elif evaluated:
        parts.append(f"{_counted(len(evaluated), 'golden set')} evaluated")
    return "; ".join([*parts, *([f"{_counted(len(unchanged), 'golden set')} unchanged"] if unchanged else [])])


BY_DAG: dict[str, Callable[[XComs], str | None]] = {
    "sluice_ingest": _ingest,
    "sluice_ingest_all": _ingest_all,
    "sluice_reconcile": _reconcile,
    "sluice_retention": _retention,
    "sluice_evaluate": _evaluate,
}


def _returned(xcoms: XComs, task_id: str) -> Values | None:
    """The result of a task. None: it has none, or the XCom backend stores it elsewhere."""
    value = xcoms.get((task_id, _RETURNED))
    return value if isinstance(value, Mapping) else None


def _documents(counts: Values) -> str:
    return f"{_counted(counts['documents'], 'document')} with {_counted(counts['chunks'], 'chunk')}"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
