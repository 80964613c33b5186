"""Drift between a store and the ledger, and its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal
from uuid import UUID

from sluice.model.points import LedgerChunk

_EXAMPLES = 10


@dataclass(frozen=True, slots=True)
class Drift:
    """The drift of some chunk ids at one moment."""

    missing: list[LedgerChunk]
    stale: list[LedgerChunk]
    surplus: Mapping[UUID, UUID | None]  # chunk id → document id as the store has it
    in_flight: list[UUID]

    @property
    def ids(self) -> list[UUID]:
        """Returns the ids of missing, stale and surplus chunks, in this order."""
        return [*(each.chunk_id for each in (*self.missing, *self.stale)), *self.surplus]


@dataclass(slots=True)
class StoreReport:
    """The result for one store and one generation, in chunks; for object storage in documents, and `surplus` in
    objects. `examples`: ids or paths, by kind of drift."""

    checked: int = 0  # what the ledger expects
    missing: int = 0
    surplus: int = 0
    stale: int = 0
    repaired: int = 0
    in_flight: int = 0  # being changed by a running run, or queued in the outbox
    examples: dict[str, list[str]] = field(default_factory=dict)

    @property
    def drift(self) -> int:
        """Returns the number of differences, repaired or not."""
        return self.missing + self.surplus + self.stale

    def add(self, drift: Drift) -> None:
        """Adds the counts and examples of one comparison, without `in_flight`."""
        self.note("missing", [each.chunk_id for each in drift.missing])
        self.note("surplus", list(drift.surplus))
        self.note("stale", [each.chunk_id for each in drift.stale])

    def note(
        self, kind: Literal["missing", "surplus", "stale"], names: Sequence[UUID | str], each_counts: int = 1
    ) -> None:
        """Adds to a count and its examples. `each_counts`: the number of objects that one name stands for."""
        setattr(self, kind, getattr(self, kind) + len(names) * each_counts)
        examples = self.examples.setdefault(kind, [])
        examples += [str(each) for each in names[: _EXAMPLES - len(examples)]]

    def to_json(self) -> dict[str, Any]:
        """Returns the report as JSON values, with examples only of the kinds that have some."""
        return {**asdict(self), "examples": {kind: ids for kind, ids in self.examples.items() if ids}}
