"""The list of collections and aliases: one small JSON file, which is replaced atomically."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from devstack.qdrant_server.body import Json

_FORM = 1


@dataclass
class CatalogEntry:
    """One collection: its folder below `collections/`, the live shard's folder in it, and its configuration."""

    folder: str
    shard: str
    config: Json


@dataclass
class Catalog:
    """The durable state beside the shards. Change it through `save`, which returns when the change is on disk."""

    path: Path
    collections: dict[str, CatalogEntry] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> "Catalog":
        """The catalog at `path`; empty if there is none. Raises ValueError for a file of another format version."""
        if not path.exists():
            return cls(path)
        content = json.loads(path.read_bytes())
        if content.get("form") != _FORM:
            raise ValueError(f"{path} has format {content.get('form')}, but this server reads format {_FORM}")
        entries = {name: CatalogEntry(**entry) for name, entry in content["collections"].items()}
        return cls(path, entries, content["aliases"])

    def save(self) -> None:
        """Write the catalog: a new file, fsync, rename over the old one, fsync of the folder. Raises OSError."""
        entries = {name: vars(entry) for name, entry in self.collections.items()}
        content = {"form": _FORM, "collections": entries, "aliases": self.aliases}
        beside = self.path.with_suffix(".new")
        with beside.open("w", encoding="utf-8") as file:
            json.dump(content, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, self.path)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
