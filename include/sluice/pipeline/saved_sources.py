"""Sources as the ledger has them: saved, opened for a run, with the profile of their collection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sluice.model.generation import Profile
from sluice.model.source import Source, SourceSpec
from sluice.pipeline.requests import canonical_spec
from sluice.ports.collections import Collections
from sluice.ports.readers import OpenSource
from sluice.ports.sources import Sources


@dataclass(frozen=True, slots=True)
class SavedSources:
    """Saves and opens sources."""

    sources: Sources
    collections: Collections
    reader: OpenSource
    profile: Callable[[], Profile]  # for a collection that does not exist yet; may ask an endpoint
    filter_fields: tuple[str, ...]

    def save(self, spec: SourceSpec) -> Source:
        """Saves the given settings of a source; creates the source, its collection and its tenant where they are new.
        Raises BadRequest where the source may not be read."""
        spec = canonical_spec(spec)
        saved = self.sources.spec(spec.tenant, spec.collection, spec.uri)
        self.reader(spec.over(saved))  # raises where the source is not allowed, before anything is saved
        return self.sources.save(spec, self.profile_of(spec.collection), self.filter_fields)

    def open(self, spec: SourceSpec) -> Source:
        """Opens the source in the ledger.

        A saved source is not tried here: `planning` does that inside its run, so that its last run shows a failure (its
        folder is gone). For a source that is not saved, the reader is tried first: a failure then writes nothing."""
        if self.sources.spec(spec.tenant, spec.collection, spec.uri) is None:
            self.reader(spec)
        return self.sources.open(spec, self.profile_of(spec.collection), self.filter_fields)

    def profile_of(self, collection: str) -> Profile:
        """Returns the collection's own profile, or the one for a new collection.

        Only the latter may call an embedder's endpoint."""
        existing = (each.profile for each in self.collections.generations() if each.collection == collection)
        return next(existing, None) or self.profile()
