"""Lineage events on PostgreSQL: tasks write them, and one forwarder at a time sends them to Marquez."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text

from sluice.adapters.postgres.failures import translated
from sluice.adapters.postgres.pruning import LINEAGE
from sluice.adapters.postgres.transactions import Transactions

_ADD = text("""
    INSERT INTO lineage_events (ol_run_id, sluice_run_id, job_namespace, job_name, event_type, event_time, inputs,
                                outputs, body, parked)
    VALUES (:ol_run_id, :sluice_run_id, :job_namespace, :job_name, :event_type, CAST(:event_time AS timestamptz),
            :inputs, :outputs, CAST(:body AS jsonb), :parked)
""")
UNSENT = text("""
    SELECT event_id, attempts, body FROM lineage_events
    WHERE sent_at IS NULL AND parked IS NULL ORDER BY event_id LIMIT :limit
""")
SENT = text("UPDATE lineage_events SET sent_at = now() WHERE event_id = ANY(CAST(:ids AS bigint[]))")
_FAILED = text("UPDATE lineage_events SET attempts = attempts + 1 WHERE event_id = :event_id")
_PARK = text("UPDATE lineage_events SET parked = :reason, attempts = attempts + 1 WHERE event_id = :event_id")
_LOCK = 7304509  # arbitrary; nothing else in this database locks this number


@dataclass(frozen=True, slots=True)
class Unsent:
    """An event that Marquez has not received."""

    event_id: int
    attempts: int  # how often Marquez failed to process it
    body: dict[str, Any]


class PostgresLineage(Transactions):
    """The ledger's lineage events. Raises Transient or Terminal, as the rest of the ledger."""

    def add(
        self,
        body: dict[str, Any],
        *,
        sluice_run_id: UUID | None,
        inputs: Sequence[str],
        outputs: Sequence[str],
        parked: str | None = None,
    ) -> None:
        """Stores one event. `body`: the cleaned event. `parked`: why it must not be sent to Marquez."""
        job = body.get("job") or {}
        values = {
            "ol_run_id": (body.get("run") or {}).get("runId"),
            "sluice_run_id": sluice_run_id,
            "job_namespace": job.get("namespace", ""),
            "job_name": job.get("name", ""),
            "event_type": body.get("eventType", "OTHER"),
            "event_time": body["eventTime"],
            "inputs": list(inputs),
            "outputs": list(outputs),
            "body": json.dumps(body, allow_nan=False),
            "parked": parked,
        }
        self._execute(_ADD, values)

    @contextmanager
    def forwarding(self) -> Iterator[bool]:
        """Yields whether this process may forward events; False while another process does, because two at once would
        change the order of a run's events."""
        with translated(), self._engine.connect() as opened:
            connection = opened.execution_options(isolation_level="AUTOCOMMIT")
            acquired = bool(connection.execute(text("SELECT pg_try_advisory_lock(:n)"), {"n": _LOCK}).scalar())
            try:
                yield acquired
            finally:
                if acquired:
                    connection.execute(text("SELECT pg_advisory_unlock(:n)"), {"n": _LOCK})

    def unsent(self, limit: int) -> list[Unsent]:
        """Returns events that were neither sent nor parked, the oldest first."""
        return [Unsent(**row._mapping) for row in self._rows(UNSENT, {"limit": limit})]

    def sent(self, event_ids: Sequence[int]) -> None:
        """Records that Marquez has received these events."""
        self._execute(SENT, {"ids": list(event_ids)})

    def failed(self, event_id: int) -> None:
        """Counts one more failed attempt to send the event."""
        self._execute(_FAILED, {"event_id": event_id})

    def park(self, event_id: int, reason: str) -> None:
        """Records why the event is not to be sent again. It stays in the ledger."""
        self._execute(_PARK, {"event_id": event_id, "reason": reason.replace("\0", "")})

    def prune(self, before: datetime, limit: int = 1000) -> int:
        """Rows removed: at most `limit` of the oldest that came in before then, sent or not."""
        return self._execute(LINEAGE, {"before": before, "limit": limit})

    def close(self) -> None:
        """Closes all connections."""
        self._engine.dispose()
