"""Documents that were found under another name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol
from uuid import UUID

from sluice.model.run import Run


class Moves(Protocol):
    def adopt_same(self, run: Run, hashes: Mapping[UUID, bytes]) -> dict[UUID, UUID]:
        """New documents with the keyed hash of their bytes. Each that this run's scan saw appear while it missed one
        with an active version of the same hash *is* that one: it takes over name and address, the new document goes.
        Returns new id → id from now on, also what an earlier try of this run found. One to one."""

    def adopt_similar(self, run: Run, scores: Mapping[UUID, Mapping[UUID, float]]) -> dict[UUID, UUID]:
        """The same as `adopt_same` for new documents with their likeness (0 to 1) to missed ones; best first."""

    def missed(self, run: Run, limit: int) -> list[tuple[UUID, bytes]]:
        """Documents with an active version that this run's scan missed and that were not found since, with their
        sealed text; by id."""

    def found(self, run: Run) -> set[UUID]:
        """Documents that this run found under another name, whoever said so."""

    def vanished(self, run: Run) -> list[UUID]:
        """Documents that this run's scan missed and that were not found since under another name; by id. Kept where
        the run fails, because it may be resumed, until it succeeds or another scan of the source is recorded."""
