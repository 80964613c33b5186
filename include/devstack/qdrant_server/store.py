"""All collections and aliases of one storage folder."""

import fcntl
import shutil
import uuid
from pathlib import Path
from typing import IO, Any

from devstack.qdrant_server import schema
from devstack.qdrant_server.body import Json, as_list, as_object, required
from devstack.qdrant_server.catalog import Catalog, CatalogEntry
from devstack.qdrant_server.collection import Collection
from devstack.qdrant_server.errors import ApiError, bad_format, no_collection, not_found, wrong_input

_FORBIDDEN = '<>:"/\\|?*\0\x1f'
_LONGEST_NAME = 255


class StorageError(Exception):
    """The storage folder cannot be used. The text says why and what to do."""


class Store:
    """The open collections. A file lock, released when the process ends, allows one server per folder."""

    def __init__(self, root: Path) -> None:
        self.root = root / "collections"
        self.root.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(root / ".lock")
        self.catalog = Catalog.load(root / "catalog.json")
        self._sweep()
        self.open: dict[str, Collection] = {}
        for name, entry in self.catalog.collections.items():
            try:
                self.open[name] = Collection.open(name, self.root, entry)
            except Exception as error:
                raise StorageError(
                    f"collection {name!r} in {self.root / entry.folder} cannot be opened: {error}. Nothing was "
                    "changed. Restore that folder from a backup, or remove the storage folder and load it again."
                ) from error

    def get(self, name: str) -> Collection:
        """The collection with that name or alias. Raises ApiError 404."""
        collection = self.open.get(self.catalog.aliases.get(name, name))
        if collection is None:
            raise no_collection(name)
        return collection

    def create(self, name: str, body: Any) -> None:
        """Create a collection; durable when this returns. Raises ApiError 400, 409 or 422."""
        _check_name(name)
        config = schema.from_request(as_object(body, "struct CreateCollection"))
        if name in self.open:
            raise wrong_input(f"Collection `{name}` already exists!", status=409)
        if name in self.catalog.aliases:
            raise wrong_input(f"Can't create collection with name {name}. Alias with the same name already exists")
        entry = CatalogEntry(uuid.uuid4().hex, uuid.uuid4().hex, config)
        collection = Collection.create(name, self.root, entry)
        self.catalog.collections[name] = entry
        self.catalog.save()
        self.open[name] = collection

    def drop(self, name: str) -> Collection | None:
        """Removes a collection (not an alias) and its aliases from the catalog. The caller removes its folder."""
        collection = self.open.pop(name, None)
        if collection is None:
            return None
        del self.catalog.collections[name]
        self.catalog.aliases = {a: c for a, c in self.catalog.aliases.items() if c != name}
        self.catalog.save()
        return collection

    def patch(self, name: str, body: Any) -> None:
        """Change a collection's settings."""
        collection = self.get(name)
        collection.reconfigure(schema.patched(collection.entry.config, as_object(body, "struct UpdateCollection")))
        self.catalog.save()

    def change_aliases(self, body: Any) -> None:
        """Applies all alias actions or none, atomically for readers and for a crash.

        (A real server keeps the actions before a failing one.)
        """
        aliases = dict(self.catalog.aliases)
        for action in as_list(required(as_object(body, "struct ChangeAliasesOperation"), "actions")):
            self._act(action, aliases)
        before, self.catalog.aliases = self.catalog.aliases, aliases
        try:
            self.catalog.save()
        except OSError:
            self.catalog.aliases = before
            raise

    def aliases(self, collection: str | None = None) -> list[Json]:
        """The aliases (of one collection) as the API lists them."""
        return [
            {"alias_name": alias, "collection_name": name}
            for alias, name in sorted(self.catalog.aliases.items())
            if collection is None or name == collection
        ]

    def close(self) -> None:
        """Closes every shard and releases the lock of the folder."""
        for collection in self.open.values():
            collection.close()
        self._lock.close()

    def _act(self, action: Any, aliases: dict[str, str]) -> None:
        kind, values = next(iter(action.items())) if isinstance(action, dict) and len(action) == 1 else ("", {})
        fields = values if isinstance(values, dict) else {}
        match kind, fields:
            case "create_alias", {"collection_name": str(name), "alias_name": str(alias)}:
                if name not in self.open:
                    raise no_collection(name)
                if alias in self.open:
                    raise wrong_input(f"Collection `{alias}` already exists!", status=409)
                _check_name(alias)
                aliases[alias] = name
            case "delete_alias", {"alias_name": str(alias)}:
                aliases.pop(alias, None)
            case "rename_alias", {"old_alias_name": str(old), "new_alias_name": str(new)}:
                if old not in aliases:
                    raise not_found(f"Alias {old} does not exists!")
                if new in self.open:
                    raise wrong_input(f"Collection `{new}` already exists!", status=409)
                aliases[new] = aliases.pop(old)
            case _:
                raise bad_format("data did not match any variant of untagged enum AliasOperations")

    def _sweep(self) -> None:
        """Removes the remains of a killed server: incomplete or dropped collections, and unfinished copies."""
        live = {entry.folder: entry.shard for entry in self.catalog.collections.values()}
        for folder in self.root.iterdir():
            if folder.name not in live:
                shutil.rmtree(folder)
                continue
            for shard in folder.iterdir():
                if shard.name != live[folder.name]:
                    shutil.rmtree(shard)


def _check_name(name: str) -> None:
    why = next((f'collection name cannot contain "{c}" char' for c in _FORBIDDEN if c in name), None)
    if not 1 <= len(name) <= _LONGEST_NAME:
        why = f"value `{name[:80]}` invalid, must be from 1 to {_LONGEST_NAME} characters"
    if why:
        raise ApiError(422, f"Validation error in path parameters: [collection_name: {why}]")


def _locked(path: Path) -> IO[bytes]:
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise StorageError(
            f"{path.parent} is used by another running server. Stop that server, or use another --storage."
        ) from None
    return file
