"""Gates: departures of collections from the suites, rows that failed, signatures of documents."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg.types.json import Jsonb
from sqlalchemy import Connection, text

from sluice.adapters.postgres.copying import copy_rows, driver
from sluice.adapters.postgres.rules import kept_rows
from sluice.model.gates import GateRow, GateRule, Signature
from sluice.model.generation import Generation
from sluice.model.run import Run

RULES = text(
    "SELECT suite, code, action, limit_value, options FROM gate_overrides WHERE collection_id = :collection_id"
)
_SET = text("""
    INSERT INTO gate_overrides (collection_id, suite, code, action, limit_value, options)
    VALUES (:collection_id, :suite, :code, :action, :limit_value, :options)
    ON CONFLICT (collection_id, suite, code) DO UPDATE
    SET action = excluded.action, limit_value = excluded.limit_value, options = excluded.options, updated_at = now()
    RETURNING xmax <> 0
""")
_UNSET = text("""
    DELETE FROM gate_overrides WHERE collection_id = :collection_id AND suite = :suite AND code = :code RETURNING true
""")
_ROWS = {
    "run_id": "uuid",
    "batch": "int4",
    "stage": "text",
    "position": "int4",
    "document_id": "uuid",
    "ordinal": "int4",
    "suite": "text",
    "code": "text",
    "expectation": "text",
    "observed": "jsonb",
}
_OLD_ROWS = text("DELETE FROM gate_rows WHERE run_id = :run_id AND batch = :batch AND stage = :stage")
# The planner takes an overlap with thousands of bands for most of the table; it is a handful of rows.
BY_INDEX = text("SET LOCAL enable_seqscan = off")
SIMILAR = text("""
    SELECT s.document_id, s.signature, s.bands FROM signatures s
    WHERE s.bands && CAST(:bands AS bigint[])
      AND (s.run_id = :run_id OR EXISTS (SELECT FROM versions v
                                         WHERE v.document_id = s.document_id AND v.generation = :generation
                                           AND v.state = 'active' OFFSET 0))
    LIMIT :limit
""")
_REMEMBER = text("""
    INSERT INTO signatures (document_id, run_id, signature, bands)
    SELECT document_id, :run_id, :signature, CAST(:bands AS bigint[]) FROM documents
    WHERE document_id = :document_id AND deleted_at IS NULL
    ON CONFLICT (document_id) DO UPDATE
    SET run_id = excluded.run_id, signature = excluded.signature, bands = excluded.bands
""")
FORGET = text("DELETE FROM signatures WHERE document_id = ANY(CAST(:ids AS uuid[]))")


def rules(connection: Connection, generation: Generation) -> dict[tuple[str, str], GateRule]:
    return {
        (row.suite, row.code): GateRule(
            row.action, row.limit_value, None if row.options is None else tuple(row.options)
        )
        for row in connection.execute(RULES, {"collection_id": generation.collection_id})
    }


def set_rule(connection: Connection, generation: Generation, suite: str, code: str, rule: GateRule | None) -> bool:
    place = {"collection_id": generation.collection_id, "suite": suite, "code": code}
    if rule is None:
        return connection.execute(_UNSET, place).scalar() is not None
    options = None if rule.options is None else list(rule.options)
    values = {"action": rule.action, "limit_value": rule.limit, "options": options}
    return bool(connection.execute(_SET, {**place, **values}).scalar_one())


def record_rows(connection: Connection, run: Run, batch: int, stage: str, rows: Sequence[GateRow]) -> None:
    connection.execute(_OLD_ROWS, {"run_id": run.run_id, "batch": batch, "stage": stage})
    if not rows:
        return
    with driver(connection).cursor() as cursor:
        copy_rows(
            cursor,
            "gate_rows",
            _ROWS,
            (
                (
                    run.run_id,
                    batch,
                    stage,
                    position,
                    each.document_id,
                    each.ordinal,
                    each.suite,
                    each.code,
                    each.expectation,
                    None if each.observed is None else Jsonb(each.observed),
                )
                for position, each in enumerate(kept_rows(rows))
            ),
        )


def similar(connection: Connection, run: Run, bands: Sequence[int], limit: int) -> list[Signature]:
    import numpy as np

    connection.execute(BY_INDEX)
    values = {"bands": list(bands), "run_id": run.run_id, "generation": run.source.generation.number, "limit": limit}
    return [
        Signature(row.document_id, np.frombuffer(row.signature, "<u4"), tuple(row.bands))
        for row in connection.execute(SIMILAR, values)
    ]


def remember(connection: Connection, run: Run, signatures: Sequence[Signature]) -> None:
    # In one order everywhere, so that two runs that remember the same documents cannot wait for each other.
    rows = [
        {
            "document_id": each.document_id,
            "run_id": run.run_id,
            "signature": each.minima.astype("<u4").tobytes(),
            "bands": list(each.bands),
        }
        for each in sorted(signatures, key=lambda signature: signature.document_id)
    ]
    connection.execute(_REMEMBER, rows)
