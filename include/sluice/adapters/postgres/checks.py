"""Checks and cleaning of values before the ledger stores them, and the texts of its errors."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sluice.errors import BadRequest, Busy, LostLease, NotFound, Terminal
from sluice.model.costs import Quota, TenantUse
from sluice.model.gates import GateRow
from sluice.model.names import check_collection_name
from sluice.model.retention import Retention, RetentionScope
from sluice.model.scan import MEMBER, ListingEntry
from sluice.model.source import SourceSpec
from sluice.model.text import is_storable, storable

LONGEST_RETENTION_DAYS = 36_500
MAX_GATE_ROWS = 1000  # of one check on one batch
GIVEN_UP = "given up: its task was tried again"  # stored in the run's summary
TAKEN_OVER = "given up: its process ended or its lease lapsed, and another run took over its source"


def check_spec(spec: SourceSpec) -> None:
    """Raises BadRequest, which names the invalid field and the allowed values."""
    check_collection_name(spec.collection)
    check_tenant(spec.tenant)
    if not spec.uri or not is_storable(spec.uri):
        raise BadRequest(f"The source uri {spec.uri!r} is empty or holds characters that cannot be stored.")
    if spec.retention_days is not None:
        check_retention(Retention(days=spec.retention_days))
    for group in spec.access_groups or ():
        if not group or not is_storable(group):
            raise BadRequest(f"The access group {group!r} is empty or holds characters that cannot be stored.")


def check_retention(retention: Retention) -> None:
    """Raises BadRequest on a retention that is not exactly one of days (0 to 36,500) and a date with a time zone."""
    if (retention.days is None) == (retention.until is None):
        raise BadRequest("A retention is a number of days or a date; give one of the two.")
    if retention.days is not None and not 0 <= retention.days <= LONGEST_RETENTION_DAYS:
        raise BadRequest(
            f"Retention of {retention.days} days is not possible; give 1 to {LONGEST_RETENTION_DAYS}, or 0 for ever."
        )
    if retention.until is not None and retention.until.tzinfo is None:
        raise BadRequest(f"The date {retention.until} names no time zone, so its moment is not certain.")


def no_such(scope: RetentionScope) -> NotFound:
    if scope.document_id is not None:
        return NotFound(f"There is no document {scope.document_id}. Nothing was changed.")
    if scope.source:
        return NotFound(
            f"Tenant {scope.tenant!r} has no source {scope.source} in collection {scope.collection!r}. Nothing was "
            "changed. Ingest the source first."
        )
    return NotFound(f"There is no collection {scope.collection!r}. Nothing was changed. An ingest creates it.")


def names_one_execution(orchestrator: str | None) -> bool:
    """Returns whether the name stands for one execution: `airflow:<dag>/<run>` does, `cli` stands for every manual run,
    and several may run at once."""
    return orchestrator is not None and ":" in orchestrator


def check_tenant(tenant: str) -> None:
    if not 0 < len(tenant) <= 200 or not is_storable(tenant):
        raise BadRequest(f"{tenant!r} cannot be a tenant's name: use 1 to 200 printable characters.")


def check_quota(quota: Quota) -> None:
    for what, most in (("documents", quota.max_documents), ("bytes", quota.max_bytes)):
        if most is not None and not 0 <= most < 2**63:
            raise BadRequest(f"A quota of {most} {what} is not possible; give 0 or more, or none for no limit.")


def beyond_quota(use: TenantUse, sizes: Mapping[UUID, int], served: Mapping[UUID, int]) -> set[UUID]:
    """Returns the documents that do not fit the quota, in the order of `sizes`. `sizes` and `served`: document → bytes
    of the new and of the served version."""
    refused = set()
    for document_id, size_bytes in sizes.items():
        if use.fits(size_bytes, served.get(document_id)):
            use = use.taking(size_bytes, served.get(document_id))
        else:
            refused.add(document_id)
    return refused


def check_entry(entry: ListingEntry) -> None:
    """Raises Terminal if the entry cannot be stored unchanged: every later scan would compare it wrongly."""
    for name, value in (("external id", entry.external_id), ("uri", entry.uri), ("fingerprint", entry.fingerprint)):
        if not value or not is_storable(value) or not is_storable(entry.locator):
            raise Terminal(
                f"The source listed an entry whose {name} is {value!r}: empty, or with NUL or undecodable characters. "
                "Nothing was changed; the source's reader has to escape such names."
            )


def check_state(state: str) -> None:
    if state not in ("succeeded", "failed"):
        raise Terminal(f"A run ends as succeeded or failed, not as {state!r}.")


def not_saved(tenant: str, collection: str, uri: str) -> NotFound:
    return NotFound(
        f"{uri} is not a saved source of collection {collection} in tenant {tenant}. Nothing was changed. "
        "`sluice sources list` lists the saved sources; `sluice sources add` saves one."
    )


def no_document(document_id: UUID) -> NotFound:
    return NotFound(
        f"This is not possible for document {document_id}: it is unknown, already deleted or, for a restore, it was "
        "not deleted. Nothing was changed. A search and GET /documents show the ids of documents."
    )


def not_empty(collection: str) -> Terminal:
    return Terminal(
        f"Collection {collection} still holds documents, outbox entries that its stores have not processed, a source "
        "that was saved meanwhile, or a run that works on one of its sources. The documents already deleted are "
        "unreadable. Run the deletion again."
    )


def being_dropped(collection: str) -> Busy:
    return Busy(
        f"Collection {collection} is being deleted. Nothing was changed. Run this again when the deletion has ended; "
        f"if it was interrupted, finish it with `sluice collections delete {collection}`."
    )


def narrows(before: Sequence[str] | None, after: Sequence[str] | None) -> bool:
    """Returns whether a reader permitted by the groups `before` may lose access by those `after`; empty: everyone."""
    return bool(after) and (not before or not set(before) <= set(after or ()))


def superseded() -> Terminal:
    return Terminal("The run is superseded by a later run. Nothing was deleted. Trigger a new run.")


def busy(uri: str, holder: str | None, started_at: datetime, lapses_at: datetime) -> Busy:
    return Busy(
        f"Another run ({holder or 'of unknown origin'}, started {started_at:%Y-%m-%d %H:%M:%S} UTC) works on {uri} "
        "now. Nothing was changed. Run this again when it has ended; if its process has died, its lease ends at "
        f"{lapses_at:%H:%M:%S} UTC."
    )


def lost_lease(uri: str) -> LostLease:
    return LostLease(
        f"Another run took over {uri}: the lease of this run had expired, or its process seemed to have ended. The "
        "other run ingests what this run had not activated. Nothing is lost, and nothing needs to be done."
    )


def paired(candidates: Iterable[tuple[float, str, str, UUID, UUID]]) -> dict[UUID, UUID]:
    """Returns placeholder → document, one to one, the highest scores first. `candidates`: (score, new name, previous
    name, placeholder, document). Among equal scores the same file name wins, then the order of names, so that a
    repetition gives the same pairs."""

    def rank(match: tuple[float, str, str, UUID, UUID]) -> tuple[float, bool, str, str]:
        score, name, former, _, _ = match
        return -score, name.rsplit("/", 1)[-1] != former.rsplit("/", 1)[-1], name, former

    pairs: dict[UUID, UUID] = {}
    taken: set[UUID] = set()
    for *_, placeholder_id, document_id in sorted(candidates, key=rank):
        if placeholder_id not in pairs and document_id not in taken:
            pairs[placeholder_id] = document_id
            taken.add(document_id)
    return pairs


def is_held(external_id: str, containers: Mapping[str, Callable[[str], bool]]) -> bool:
    """Returns whether the document may still be in one of `containers` that could not be opened. `containers`:
    external id → `ListingEntry.holds`."""
    parts = external_id.split(MEMBER)
    names = (MEMBER.join(parts[:count]) for count in range(1, len(parts)))
    return any(name in containers and containers[name](external_id) for name in names)


def duplicate(external_id: str) -> Terminal:
    return Terminal(
        f"The scan lists {external_id!r} more than once, so these documents cannot be distinguished. Nothing was "
        "changed. Give every document of the source its own id."
    )


def not_refused(document_id: UUID) -> NotFound:
    return NotFound(f"There is no document {document_id} in quarantine that you may read.")


def no_collection(tenant: str, collection: str) -> NotFound:
    """The text is the same whether nobody, another tenant or another group has the collection."""
    return NotFound(f"Tenant {tenant!r} has no collection {collection!r} that you may read.")


def no_run(run_id: UUID) -> NotFound:
    return NotFound(f"There is no run {run_id} of a source that you may read.")


def storable_rows(rows: Sequence[GateRow]) -> list[GateRow]:
    """Returns the first 1,000 rows of each check, with values that a database can store."""
    counts: Counter[tuple[str, str]] = Counter()
    first_rows = []
    for row in rows:
        counts[row.suite, row.code] += 1
        if counts[row.suite, row.code] <= MAX_GATE_ROWS:
            first_rows.append(replace(row, observed=storable_json(row.observed)))
    return first_rows


def storable_json(value: Any) -> Any:
    """Returns JSON that a database can store: NaN and infinity become their names, unknown types their text."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {storable(str(key)): storable_json(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [storable_json(each) for each in value]
    return storable(str(value))


def json_text(value: Any) -> str:
    return json.dumps(storable_json(value), ensure_ascii=False)
