"""The stages of one batch as tasks carry them out, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from sluice.model.run import BatchRef
from sluice.pipeline import stages
from sluice.wiring.application import Sluice


def _step(stage: stages.Stage) -> Callable[[Sluice, BatchRef], BatchRef]:
    def step(sluice: Sluice, ref: BatchRef) -> BatchRef:
        return sluice.checkpoints.carry_out(sluice.ledger.runs.get(UUID(ref.run_id)), stage, ref)

    step.__name__ = stage.name
    return step


extract, validate, chunk, embed, load = map(_step, stages.STAGES)


def finish(sluice: Sluice, run_id: UUID) -> dict[str, Any]:
    return sluice.pipeline.finishing.finish(sluice.ledger.runs.get(run_id)).to_json()
