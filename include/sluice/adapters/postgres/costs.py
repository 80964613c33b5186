"""Embedding costs of runs: an account for each batch, and the token budget that all batches of a run share."""

from __future__ import annotations

from dataclasses import asdict

from sqlalchemy import text

from sluice.adapters.postgres.transactions import Transactions
from sluice.model.costs import Spent
from sluice.model.run import Run

# A separate statement takes the lock before anything is read: a statement that waits for it would read older values.
_LOCK = text("SELECT max_tokens FROM runs WHERE run_id = :run_id FOR NO KEY UPDATE")
_TAKEN = text("""
    SELECT coalesce(sum(tokens + CASE WHEN batch = :batch THEN 0 ELSE reserved_tokens END), 0)
    FROM run_costs WHERE run_id = :run_id
""")
_RESERVE = text("""
    INSERT INTO run_costs (run_id, batch, reserved_tokens) VALUES (:run_id, :batch, :granted)
    ON CONFLICT (run_id, batch) DO UPDATE SET reserved_tokens = excluded.reserved_tokens, updated_at = now()
""")
_SETTLE = text("""
    INSERT INTO run_costs AS c (run_id, batch, texts, tokens, seconds)
    VALUES (:run_id, :batch, :texts, :tokens, :seconds)
    ON CONFLICT (run_id, batch) DO UPDATE
    SET texts = c.texts + excluded.texts, tokens = c.tokens + excluded.tokens,
        seconds = c.seconds + excluded.seconds, reserved_tokens = 0, updated_at = now()
""")
_SPENT = text("""
    SELECT coalesce(sum(texts), 0)::bigint AS texts, coalesce(sum(tokens), 0)::bigint AS tokens,
           coalesce(sum(seconds), 0) AS seconds
    FROM run_costs WHERE run_id = :run_id
""")
_STOP = text("UPDATE runs SET stopped = :why WHERE run_id = :run_id")
_STOPPED = text("SELECT stopped FROM runs WHERE run_id = :run_id")


class PostgresCosts(Transactions):
    """`sluice.ports.costs.Costs`."""

    def reserve(self, run: Run, batch: int, tokens: int) -> int:
        with self._writing(run) as connection:
            values = {"run_id": run.run_id, "batch": batch}
            most = connection.execute(_LOCK, values).scalar_one()
            taken = int(connection.execute(_TAKEN, values).scalar_one())
            granted = tokens if most is None else max(0, min(tokens, most - taken))
            connection.execute(_RESERVE, {**values, "granted": granted})
            return granted

    def settle(self, run: Run, batch: int, spent: Spent) -> None:
        self._execute(_SETTLE, {"run_id": run.run_id, "batch": batch, **asdict(spent)})

    def spent(self, run: Run) -> Spent:
        (row,) = self._rows(_SPENT, {"run_id": run.run_id})
        return Spent(**row._mapping)

    def record_exceeded(self, run: Run, why: str) -> None:
        with self._writing(run) as connection:
            connection.execute(_STOP, {"run_id": run.run_id, "why": why})

    def exceeded(self, run: Run) -> str | None:
        why: str | None = self._value(_STOPPED, {"run_id": run.run_id})
        return why
