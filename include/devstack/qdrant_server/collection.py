"""One collection: the engine's shard, its configuration, and its activity since it was last optimised.

The engine (0.9.0) holds Python's interpreter lock during every call, so threads would not make it faster. All calls run
on the event loop, one after another. So each operation is atomic for readers.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import qdrant_edge as edge

from devstack.qdrant_server import indexes, schema
from devstack.qdrant_server.body import Json, PointId
from devstack.qdrant_server.catalog import CatalogEntry
from devstack.qdrant_server.errors import from_engine, no_point, not_found
from devstack.qdrant_server.points import Names
from devstack.qdrant_server.queries import Reading
from devstack.qdrant_server.updates import Change

_LEAST_SEGMENTS = 2
"""A real server keeps a segment for each CPU, two at least; this engine may have one."""


@dataclass
class Activity:
    """Input of the background work's decisions; counts are points, times are seconds of `time.monotonic`."""

    unindexed: int = 0
    removed: int = 0
    unflushed: int = 0
    journalled: int = 0
    last_write_s: float = field(default_factory=time.monotonic)


class Collection:
    """An open shard. `gate` is held by writers, and by the optimiser while it copies the shard's files."""

    def __init__(self, name: str, root: Path, entry: CatalogEntry, shard: edge.EdgeShard) -> None:
        self.name = name
        self.folder = root / entry.folder
        self.entry = entry
        self.shard = shard
        self.gate = asyncio.Lock()
        self.journal: list[edge.UpdateOperation] | None = None
        self.activity = Activity(unindexed=self._unindexed())
        self.optimizing = False
        self._operations = 0
        self._names = Names.of(entry.config)

    @classmethod
    def create(cls, name: str, root: Path, entry: CatalogEntry) -> "Collection":
        """Creates an empty collection on disk. Raises ApiError if the engine rejects the configuration."""
        path = root / entry.folder / entry.shard
        path.mkdir(parents=True)
        try:
            shard = edge.EdgeShard.create(str(path), schema.engine_config(entry.config))
        except Exception as error:
            raise from_engine(error) from None
        return cls(name, root, entry, shard)

    @classmethod
    def open(cls, name: str, root: Path, entry: CatalogEntry) -> "Collection":
        """An existing collection; the engine replays its write-ahead log."""
        return cls(name, root, entry, cls.load_shard(root / entry.folder / entry.shard, entry.config))

    @staticmethod
    def load_shard(path: Path, config: Json) -> edge.EdgeShard:
        """Open the shard at `path` under `config`."""
        return edge.EdgeShard.load(str(path), schema.engine_config(config))

    @property
    def names(self) -> Names:
        """The collection's vectors."""
        return self._names

    @property
    def reading(self) -> Reading:
        """The data of the collection that reading a query needs."""
        return Reading(self._names, self._vector_of)

    def apply(self, change: Change) -> int:
        """Apply one change and return its number; it is in the write-ahead log when this returns. Raises ApiError."""
        # An operation that fails may have changed some points first, so the journal holds failed ones too.
        if self.journal is not None:
            self.journal.append(change.operation)
            self.activity.journalled += change.weight
        activity = self.activity
        activity.last_write_s = time.monotonic()
        activity.unflushed += change.weight
        if change.removes:
            activity.removed += change.weight
        else:
            activity.unindexed += change.weight
        self._operations += 1
        try:
            self.shard.update(change.operation)
        except Exception as error:
            answer = from_engine(error)
            missing = self._missing(change.ids) if answer.status == 404 else None
            raise answer if missing is None else no_point(missing) from None
        return self._operations

    def flush(self) -> None:
        """Writes everything to the segments; the write-ahead log is empty then."""
        self.shard.flush()
        self.activity.unflushed = 0

    def switch(self, shard: edge.EdgeShard) -> edge.EdgeShard:
        """Makes `shard` the live one and returns the previous one."""
        before, self.shard = self.shard, shard
        return before

    def start_journal(self) -> None:
        """Starts to record changes, which are replayed on the copy of the shard that is being optimised."""
        self.journal, self.activity.journalled = [], 0
        self.optimizing = True

    def end_journal(self) -> None:
        """Ends the recording, after the copy became live or was discarded. Only recorded changes count as not
        optimised."""
        self.activity.unindexed, self.activity.removed = self.activity.journalled, 0
        self.journal, self.activity.journalled = None, 0
        self.optimizing = False

    def wants_optimizing(self) -> bool:
        """True if Qdrant's thresholds for indexing, or for vacuuming after deletions, are reached."""
        activity, settings = self.activity, self.entry.config["optimizer_config"]
        threshold_bytes = (settings["indexing_threshold"] or 0) * 1024
        if 0 < threshold_bytes <= activity.unindexed * schema.vector_bytes(self.entry.config):
            return True
        if activity.removed < max(1, settings["vacuum_min_vector_number"]):
            return False
        before = self.shard.info().points_count + activity.removed
        return bool(activity.removed >= before * settings["deleted_threshold"])

    def close(self) -> None:
        """Flush and release the shard."""
        self.shard.close()

    def reconfigure(self, config: Json) -> None:
        """Stores a changed configuration; the engine gets it at the next optimisation or start."""
        self.entry.config = config

    def info(self) -> Json:
        """The collection as `GET /collections/{name}` shows it."""
        info = self.shard.info()
        return {
            "status": "yellow" if self.optimizing or self.wants_optimizing() else "green",
            "optimizer_status": "ok",
            "indexed_vectors_count": min(info.indexed_vectors_count, info.points_count * len(self._names.all)),
            "points_count": info.points_count,
            "segments_count": max(info.segments_count, _LEAST_SEGMENTS),
            "config": self.entry.config,
            "payload_schema": {name: indexes.shown(item) for name, item in sorted(info.payload_schema.items())},
            "update_queue": {"length": 0},
        }

    def _missing(self, ids: Sequence[PointId]) -> PointId | None:
        """The first of `ids` that has no point."""
        existing = {str(record.id) for record in self.shard.retrieve(list(ids), False, False)}
        return next((each for each in ids if str(each) not in existing), None)

    def _unindexed(self) -> int:
        info = self.shard.info()
        return max(0, info.points_count - info.indexed_vectors_count // max(1, len(Names.of(self.entry.config).all)))

    def _vector_of(self, point: PointId, name: str) -> Any:
        self._names.check(name)
        records = self.shard.retrieve([point], False, [name])
        if not records:
            raise no_point(point)
        vectors = records[0].vector
        vector = vectors.get(name) if isinstance(vectors, dict) else vectors
        if vector is None or (name == "" and not vector):
            raise not_found(f'Vector with name "{name}" for point not found')
        return vector
