"""The stages of one batch as tasks carry them out, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from sluice.model.run import BatchRef
from sluice.pipeline import checkpoints, finishing, stages
from sluice.ports.tools import Tools


def _step(stage: stages.Stage) -> Callable[[Tools, BatchRef], BatchRef]:
    def step(tools: Tools, ref: BatchRef) -> BatchRef:
        return checkpoints.carry_out(tools, tools.ledger.runs.get(UUID(ref.run_id)), stage, ref)

    step.__name__ = stage.name
    return step


extract, validate, chunk, embed, load = map(_step, stages.STAGES)


def finish(tools: Tools, run_id: UUID) -> dict[str, Any]:
    return finishing.finish(tools, tools.ledger.runs.get(run_id)).to_json()
