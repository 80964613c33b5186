"""Leases: one run at a time works on a source, and a run that lost its lease can no longer write.

A run that is executed in one process also holds an advisory lock while the process lives (`run_locks`). A run that can
take that lock knows that the process has ended, and does not wait until the lease expires.
"""

from __future__ import annotations

import json

from sqlalchemy import Connection, text

from sluice.adapters.postgres import run_locks
from sluice.errors import Busy, LostLease
from sluice.model.run import Run

TAKEN_OVER = "given up: its process ended or its lease lapsed, and another run took over its source"

# Condition on runs `r`: the run is working, because its lease has not expired.
RUNNING = """
    (r.state = 'running' AND EXISTS (
        SELECT FROM claims k
        WHERE k.source_id = r.source_id AND k.run_id = r.run_id AND k.lapses_at > clock_timestamp() OFFSET 0))
"""
_FORMER = text("SELECT run_id, in_session FROM claims WHERE source_id = :source_id FOR UPDATE")
# A source is free when the run that holds it has ended or its lease has expired. A retried task of the same DAG run
# takes over from the previous attempt, which `PostgresRuns.start` has closed.
_CLAIM = text("""
    INSERT INTO claims AS c (source_id, run_id, lapses_at, in_session)
    VALUES (:source_id, :run_id, clock_timestamp() + make_interval(secs => :lease_s), :in_session)
    ON CONFLICT (source_id) DO UPDATE
    SET run_id = excluded.run_id, lapses_at = excluded.lapses_at, in_session = excluded.in_session,
        claimed_at = CASE WHEN c.run_id = excluded.run_id THEN c.claimed_at ELSE now() END
    WHERE c.run_id = excluded.run_id OR c.lapses_at <= clock_timestamp()
       OR NOT EXISTS (SELECT FROM runs r WHERE r.run_id = c.run_id AND r.state = 'running')
    RETURNING c.run_id
""")
_RENEW = text("""
    UPDATE claims c SET lapses_at = clock_timestamp() + make_interval(secs => :lease_s), in_session = :in_session
    WHERE c.source_id = :source_id AND c.run_id = :run_id
      AND EXISTS (SELECT FROM runs r WHERE r.run_id = c.run_id AND r.state = 'running')
    RETURNING c.run_id
""")
_HOLDER = text("""
    SELECT r.orchestrator, r.started_at, c.lapses_at FROM claims c JOIN runs r USING (run_id)
    WHERE c.source_id = :source_id
""")
# FOR SHARE: no other run can take the lease until this transaction has committed its writes.
_FENCE = text("""
    SELECT c.run_id <> :run_id AND c.lapses_at > clock_timestamp() AND r.state = 'running' AS lost
    FROM claims c JOIN runs r USING (run_id) WHERE c.source_id = :source_id FOR SHARE OF c
""")
_HELD = text("SELECT FROM claims WHERE source_id = :source_id AND run_id = :run_id FOR SHARE")
# Nothing else closes a run that was killed. Its list of missed documents stays: its tasks may be cleared and continue.
_CLOSE_OTHERS = text("""
    UPDATE runs SET state = 'failed', finished_at = now(), summary = CAST(:summary AS jsonb) || coalesce(summary, '{}')
    WHERE source_id = :source_id AND run_id <> :run_id AND state = 'running'
""")
# The run was closed as dead, or as failed before its task was cleared, and now works again.
_REOPEN = text("""
    UPDATE runs SET state = 'running', finished_at = NULL, summary = NULL WHERE run_id = :run_id AND state <> 'running'
""")
_RELEASE = text("DELETE FROM claims WHERE source_id = :source_id AND run_id = :run_id")


def claim(connection: Connection, run: Run, lease_s: float, in_session: bool) -> None:
    """Takes the source's lease for the run. `in_session`: this process holds the run's lock (`run_locks`). Raises Busy
    if another run holds the lease."""
    values = {"source_id": run.source.source_id, "run_id": run.run_id, "lease_s": lease_s, "in_session": in_session}
    previous = connection.execute(_FORMER, values).one_or_none()
    if (
        previous
        and previous.run_id != run.run_id
        and previous.in_session
        and run_locks.ended(connection, previous.run_id)
    ):
        connection.execute(_RELEASE, {**values, "run_id": previous.run_id})
    if connection.execute(_CLAIM, values).scalar_one_or_none() is None:
        holder = connection.execute(_HOLDER, values).one()
        raise Busy(
            f"Another run ({holder.orchestrator or 'of unknown origin'}, started {holder.started_at:%Y-%m-%d %H:%M:%S} "
            f"UTC) works on {run.source.spec.uri} now. Nothing was changed. Run this again when it has ended; if its "
            f"process has died, its lease ends at {holder.lapses_at:%H:%M:%S} UTC."
        )
    if previous is None or previous.run_id != run.run_id:
        connection.execute(_CLOSE_OTHERS, {**values, "summary": json.dumps({"error": TAKEN_OVER})})
    connection.execute(_REOPEN, values)


def renew(connection: Connection, run: Run, lease_s: float, in_session: bool) -> bool:
    """Extends the lease. Returns False if the run does not hold it, or was closed."""
    values = {"source_id": run.source.source_id, "run_id": run.run_id, "lease_s": lease_s, "in_session": in_session}
    return connection.execute(_RENEW, values).scalar_one_or_none() is not None


def fence(connection: Connection, run: Run) -> None:
    """Raises LostLease if another running run holds the source's lease."""
    if connection.execute(_FENCE, {"source_id": run.source.source_id, "run_id": run.run_id}).scalar_one_or_none():
        raise lost_lease(run.source.spec.uri)


def hold(connection: Connection, run: Run) -> None:
    """Keeps the run's lease until the transaction ends. Raises LostLease if the run does not hold it: another run may
    have taken over and ended since."""
    if connection.execute(_HELD, {"source_id": run.source.source_id, "run_id": run.run_id}).one_or_none() is None:
        raise lost_lease(run.source.spec.uri)


def lost_lease(uri: str) -> LostLease:
    """Returns the error for a run whose source another run has taken over."""
    return LostLease(
        f"Another run took over {uri}: the lease of this run had expired, or its process seemed to have ended. The "
        "other run ingests what this run had not activated. Nothing is lost, and nothing needs to be done."
    )


def release(connection: Connection, run: Run) -> None:
    """Releases the run's lease. A no-op where the run has none."""
    connection.execute(_RELEASE, {"source_id": run.source.source_id, "run_id": run.run_id})
