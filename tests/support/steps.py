"""The stages of one batch as tasks carry them out, one after the other."""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import UUID

from sluice.model.run import BatchRef
from sluice.pipeline import checkpoints, finishing, stages
from sluice.ports.tools import Tools


def _step(stage: stages.Stage, tools: Tools, ref: BatchRef) -> BatchRef:
    return checkpoints.carry_out(tools, tools.ledger.run(UUID(ref.run_id)), stage, ref)


extract, validate, chunk, embed, load = (partial(_step, stage) for stage in stages.STAGES)


def finish(tools: Tools, run_id: UUID) -> dict[str, Any]:
    return finishing.finish(tools, tools.ledger.run(run_id))
