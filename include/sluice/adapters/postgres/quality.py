"""Gates on PostgreSQL: rules of collections, results, failed rows, and signatures of documents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from operator import attrgetter
from typing import Any

from psycopg.types.json import Jsonb
from sqlalchemy import Connection, text

from sluice.adapters.postgres.bulk_copy import copy_rows, driver
from sluice.adapters.postgres.transactions import Transactions
from sluice.model.gates import GateResult, GateRow, GateRule, Signature
from sluice.model.generation import Generation
from sluice.model.run import Run
from sluice.model.text import json_text, storable_json

_MAX_ROWS = 1000  # of one check on one batch

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
_GATES = text("""
    INSERT INTO gate_results (run_id, batch, stage, position, suite, expectation, column_name, success, blocking,
                              evaluated, unexpected, observed)
    VALUES (:run_id, :batch, :stage, :position, :suite, :expectation, :column, :success, :blocking,
            :evaluated, :unexpected, CAST(:observed AS jsonb))
""")
_READ_GATES = text("""
    SELECT suite, expectation, column_name AS "column", success, blocking, evaluated, unexpected, observed
    FROM gate_results WHERE run_id = :run_id AND batch = :batch ORDER BY stage, position
""")
_OLD_GATES = text("DELETE FROM gate_results WHERE run_id = :run_id AND batch = :batch AND stage = :stage")
_ROWS = """
    run_id uuid, batch int4, stage text, position int4, document_id uuid, ordinal int4, suite text, code text,
    expectation text, observed jsonb
"""
_OF_ROW = attrgetter("document_id", "ordinal", "suite", "code", "expectation")
_OLD_ROWS = text("DELETE FROM gate_rows WHERE run_id = :run_id AND batch = :batch AND stage = :stage")
# The planner estimates that an overlap with thousands of bands matches most of the table; it matches a few rows.
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


class PostgresQuality(Transactions):
    """`sluice.ports.quality.Quality`."""

    def rules(self, generation: Generation) -> dict[tuple[str, str], GateRule]:
        return {
            (row.suite, row.code): GateRule(
                action=row.action,
                limit=row.limit_value,
                options=None if row.options is None else tuple(row.options),
            )
            for row in self._rows(RULES, {"collection_id": generation.collection_id})
        }

    def set_rule(self, generation: Generation, suite: str, code: str, rule: GateRule | None) -> bool:
        with self._transaction() as connection:
            place = {"collection_id": generation.collection_id, "suite": suite, "code": code}
            if rule is None:
                return connection.execute(_UNSET, place).scalar() is not None
            options = None if rule.options is None else list(rule.options)
            values = {"action": rule.action, "limit_value": rule.limit, "options": options}
            return bool(connection.execute(_SET, {**place, **values}).scalar_one())

    def record_gates(
        self, run: Run, batch: int, stage: str, results: Sequence[GateResult], rows: Sequence[GateRow] = ()
    ) -> None:
        with self._writing(run) as connection:
            place = {"run_id": run.run_id, "batch": batch, "stage": stage}
            _record_results(connection, place, results)
            _record_rows(connection, place, rows)

    def gates(self, run: Run, batch: int) -> list[GateResult]:
        return [GateResult(**row._mapping) for row in self._rows(_READ_GATES, {"run_id": run.run_id, "batch": batch})]

    def similar(self, run: Run, bands: Sequence[int], limit: int) -> list[Signature]:
        if not bands:
            return []
        with self._transaction() as connection:
            import numpy as np

            connection.execute(BY_INDEX)
            values = {
                "bands": list(bands),
                "run_id": run.run_id,
                "generation": run.source.generation.number,
                "limit": limit,
            }
            return [
                Signature(
                    document_id=row.document_id, minima=np.frombuffer(row.signature, "<u4"), bands=tuple(row.bands)
                )
                for row in connection.execute(SIMILAR, values)
            ]

    def remember(self, run: Run, signatures: Sequence[Signature]) -> None:
        if not signatures:
            return
        with self._writing(run) as connection:
            # In the order of ids, so that two runs that store signatures of the same documents cannot deadlock.
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


def _record_results(connection: Connection, place: Mapping[str, Any], results: Sequence[GateResult]) -> None:
    connection.execute(_OLD_GATES, place)
    rows = [
        {
            **place,
            "position": position,
            **asdict(result),
            "observed": None if result.observed is None else json_text(result.observed),
        }
        for position, result in enumerate(results)
    ]
    if rows:
        connection.execute(_GATES, rows)


def _record_rows(connection: Connection, place: Mapping[str, Any], rows: Sequence[GateRow]) -> None:
    connection.execute(_OLD_ROWS, place)
    if not rows:
        return
    values = (
        (*place.values(), position, *_OF_ROW(each), None if each.observed is None else Jsonb(each.observed))
        for position, each in enumerate(_first(rows))
    )
    with driver(connection).cursor() as cursor:
        copy_rows(cursor, "gate_rows", _ROWS, values)


def _first(rows: Sequence[GateRow]) -> Iterator[GateRow]:
    """Yields the first 1,000 rows of each check, with values that a database can store."""
    counts: Counter[tuple[str, str]] = Counter()
    for row in rows:
        counts[row.suite, row.code] += 1
        if counts[row.suite, row.code] <= _MAX_ROWS:
            yield replace(row, observed=storable_json(row.observed))
