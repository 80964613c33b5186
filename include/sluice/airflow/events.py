"""OpenLineage events as plain JSON: cleaned for the ledger and for Marquez, and masked if set.

Marquez stores rows of events that it rejects, and its list pages then fail; NaN and NUL make it answer 500.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import re
from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

from sluice.model.text import encodable

_UNSAFE = re.compile(r"[^a-zA-Z0-9:;=/_.@+-]")
# Namespaces of Sluice's own stores: their datasets are named for tables and collections, never for users' files.
_CLEAR = ("sluice", "postgres:", "qdrant:", "neo4j:")
# Facets of run and job that stay when names are masked. Others may hold parameters, messages or code.
_RUN_FACETS = frozenset({"parent", "nominalTime", "processing_engine"})
_JOB_FACETS = frozenset({"jobType"})
_DATASET_FACETS = frozenset(
    {
        "schema",
        "columnLineage",
        "sluice_generation",
        "sluice_embedder",
        "sluice_suite",
        "dataQualityAssertions",
        "outputStatistics",
    }
)

Event = dict[str, Any]
Rename = Callable[[str, str], tuple[str, str]]  # namespace and name of a dataset


def safe(name: str) -> str:
    """The name in Marquez's alphabet. Other characters become `=XX` for each UTF-8 byte, as in quoted-printable:
    readable and reversible."""
    return _UNSAFE.sub(lambda match: "".join(f"={byte:02X}" for byte in match.group().encode("utf-8", "replace")), name)


def cleaned(event: Event) -> Event:
    """The event without NaN, infinities, NUL and lone surrogates; all namespaces and names in Marquez's alphabet."""
    result: Event = _renamed(_values(event), lambda namespace, name: (safe(namespace), safe(name)))
    return result


def masked(event: Event, key: bytes) -> Event:
    """The event with keyed hashes instead of the names of source datasets. Equal names get equal hashes, so that the
    graph stays connected.

    Facets that may contain such names (parameters of the run, error messages, code) are left out.
    """

    def rename(namespace: str, name: str) -> tuple[str, str]:
        if namespace.startswith(_CLEAR):
            return namespace, name
        kind, place, host = namespace.partition("://")
        host = f"{place}{digest(key, host)}" if place else ""
        return kind + host, f"masked/{digest(key, f'{namespace} {name}')}"

    event = dict(event)
    for part, names in (("run", _RUN_FACETS), ("job", _JOB_FACETS)):
        if part in event:
            event[part] = {**event[part], "facets": _only(event[part].get("facets"), names)}
    for side in ("inputs", "outputs"):
        event[side] = [
            {k: _only(v, _DATASET_FACETS) if k.lower().endswith("facets") else v for k, v in each.items()}
            for each in event.get(side) or []
        ]
    result: Event = _renamed(event, rename)
    return result


def digest(key: bytes, name: str) -> str:
    """24 hexadecimal digits of HMAC-SHA256."""
    return hmac.new(key, name.encode("utf-8", "replace"), hashlib.sha256).hexdigest()[:24]


def datasets(event: Event, side: str) -> list[str]:
    """The datasets of one side (`inputs` or `outputs`), as namespace:name."""
    return [f"{each['namespace']}:{each['name']}" for each in event.get(side) or []]


def sluice_run(event: Event) -> UUID | None:
    """The id of Sluice's run in a dataset's `sluice_generation` facet; None: there is none."""
    for each in _all_datasets(event):
        run_id = each.get("facets", {}).get("sluice_generation", {}).get("runId")
        if run_id:
            return UUID(run_id)
    return None


def unfit(event: Event) -> str | None:
    """The reason why the event must not be sent to Marquez; None: it may be sent."""
    job = event.get("job")
    if job is not None and not (job.get("name") and job.get("namespace")):
        return "The job has no name; Marquez's list of jobs would fail."
    if any(not (each.get("name") and each.get("namespace")) for each in _all_datasets(event)):
        return "A dataset has no name; Marquez's list of datasets would fail."
    return None


def _all_datasets(event: Event) -> Iterable[dict[str, Any]]:
    return [*(event.get("inputs") or []), *(event.get("outputs") or [])]


def _only(facets: Any, names: frozenset[str]) -> Any:
    return {name: value for name, value in (facets or {}).items() if name in names}


def _values(value: Any) -> Any:
    if isinstance(value, dict):
        return {_text(name): _values(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_values(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return _text(value) if isinstance(value, str) else value


def _text(value: str) -> str:
    return encodable(value.replace("\0", ""))


def _renamed(value: Any, rename: Rename) -> Any:
    """Renames in every object that has a namespace and a name: datasets, column lineage, parents."""
    if isinstance(value, list):
        return [_renamed(inner, rename) for inner in value]
    if not isinstance(value, dict):
        return value
    renamed = {key: _renamed(inner, rename) for key, inner in value.items()}
    if isinstance(renamed.get("namespace"), str) and isinstance(renamed.get("name"), str):
        renamed["namespace"], renamed["name"] = rename(renamed["namespace"], renamed["name"])
    return renamed
