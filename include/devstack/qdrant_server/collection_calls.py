"""The calls about the server, collections, aliases and payload indexes."""

import asyncio
import shutil
import uuid
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import qdrant_edge as edge

from devstack.qdrant_server import indexes
from devstack.qdrant_server.body import as_object, required
from devstack.qdrant_server.calls import Call, Text, done
from devstack.qdrant_server.updates import Change

SERVER_VERSION = "1.18.3"
"""The release of the server whose API this is."""

_STARTED = datetime.now(UTC).isoformat()
_INSTANCE = str(uuid.uuid4())


async def root(call: Call) -> Any:
    """Title and version. The commit shows that this is the embedded server."""
    commit = f"qdrant-edge-{version('qdrant-edge-py')}"
    title = "qdrant - vector search engine"
    return Text(f'{{"title":"{title}","version":"{SERVER_VERSION}","commit":"{commit}"}}')


async def readyz(call: Call) -> Any:
    """Ready: the shards are open before the port is."""
    return Text("all shards are ready")


async def healthz(call: Call) -> Any:
    """Alive."""
    return Text("healthz check passed")


async def telemetry(call: Call) -> Any:
    """Name, version and start time of the process."""
    app = {"name": "qdrant", "version": SERVER_VERSION, "startup": _STARTED}
    return {"id": _INSTANCE, "app": app, "collections": {"number_of_collections": len(call.store.open)}}


async def list_collections(call: Call) -> Any:
    """Names of all collections."""
    return {"collections": [{"name": name} for name in sorted(call.store.open)]}


async def get_collection(call: Call) -> Any:
    """Status, counts, configuration and payload indexes."""
    return call.collection.info()


async def collection_exists(call: Call) -> Any:
    """Answers whether the collection or alias exists."""
    name = call.names[0]
    return {"exists": call.store.catalog.aliases.get(name, name) in call.store.open}


async def create_collection(call: Call) -> Any:
    """Creates a collection."""
    call.store.create(call.names[0], call.body)
    return True


async def update_collection(call: Call) -> Any:
    """Changes a collection's settings."""
    call.store.patch(call.names[0], call.body)
    return True


async def delete_collection(call: Call) -> Any:
    """Drop a collection; true if there was one (an alias is none)."""
    found = call.store.open.get(call.names[0])
    if found is None:
        return False
    async with found.gate:
        dropped = call.store.drop(call.names[0])
    if dropped is None:
        return False
    dropped.close()
    await asyncio.to_thread(shutil.rmtree, dropped.folder, True)
    return True


async def change_aliases(call: Call) -> Any:
    """Several alias actions, all or none."""
    call.store.change_aliases(call.body)
    return True


async def list_aliases(call: Call) -> Any:
    """Aliases, of one collection or of all."""
    return {"aliases": call.store.aliases(call.names[0] if call.names else None)}


async def create_index(call: Call) -> Any:
    """Creates a payload index."""
    body = as_object(call.body, "struct CreateFieldIndex")
    schema = indexes.to_schema(body.get("field_schema"))
    return await _write(call, edge.UpdateOperation.create_field_index(str(required(body, "field_name")), schema))


async def delete_index(call: Call) -> Any:
    """Deletes a payload index."""
    return await _write(call, edge.UpdateOperation.delete_field_index(call.names[1]))


async def _write(call: Call, operation: edge.UpdateOperation) -> Any:
    wait, collection = call.wait, call.collection
    async with collection.gate:
        return done(collection.apply(Change(operation, weight=0)), wait)
