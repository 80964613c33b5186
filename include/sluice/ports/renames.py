"""Renamed documents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol
from uuid import UUID

from sluice.model.run import Run


class Renames(Protocol):
    """Matches between documents that are new in a scan and documents that are missing from it."""

    def match_same_content(self, run: Run, hashes: Mapping[UUID, bytes]) -> dict[UUID, UUID]:
        """Matches new documents with documents missing from this run's scan whose active version has the same keyed
        hash. The existing document takes over name and address; the new document is deleted.

        `hashes`: new document → keyed hash of its bytes. Returns new id → previous id, one to one, including matches of
        an earlier attempt of this run."""

    def match_similar(self, run: Run, scores: Mapping[UUID, Mapping[UUID, float]]) -> dict[UUID, UUID]:
        """Does the same as `match_same_content`, by similarity. The highest scores are matched first.

        `scores`: new document → missing document → similarity, 0 to 1."""

    def missed(self, run: Run, limit: int) -> list[tuple[UUID, bytes]]:
        """Returns documents with an active version that are missing from this run's scan and not matched since, with
        their encrypted text, by id."""

    def matched(self, run: Run) -> set[UUID]:
        """Returns documents that this run recognised as renamed, by content or as reported by the source."""

    def vanished(self, run: Run) -> list[UUID]:
        """Returns documents that are missing from this run's scan and not matched since, by id. The list stays where
        the run fails, because it may be resumed, until it succeeds or another scan of the source is recorded."""
