"""Schema of a backing collection: one dense and one sparse vector for each point, indexed payload, an alias.

Distance is the dot product. Vectors are normalised before they are written, so it equals the cosine. Qdrant stores them
unchanged, so the norm of stored vectors can be checked (with Cosine, Qdrant normalises again and hides a wrong norm).

Payload indexes are keyword indexes. Filter fields are declared by name only, so their type is not known here. The index
serves equality of strings; ranges and numbers are checked on the points that the tenant and source filters leave.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from sluice.adapters.qdrant.failures import CollectionMissing, asking
from sluice.errors import Terminal
from sluice.model.generation import Generation

DENSE = "dense"
SPARSE = "bm25"
_ID_FIELDS = ("source_id", "document_id")
# Method, path and JSON body of a request → the `result` of Qdrant's answer.
Request = Callable[..., Any]


def ensure_collection(request: Request, generation: Generation) -> None:
    """Creates collection, payload indexes and alias if they are missing; does not change existing ones. Raises Terminal
    if the collection exists with another shape."""
    indexed = _open(request, generation)
    missing = [name for name in _payload_fields(generation) if name not in indexed]
    for position, name in enumerate(missing, start=1):
        # Qdrant applies updates in order, so waiting for the last one waits for all.
        wait = "true" if position == len(missing) else "false"
        with asking(f"index {name} of {generation.backing_collection}"):
            request(
                "PUT",
                f"{path_of(generation.backing_collection)}/index?wait={wait}",
                {"field_name": name, "field_schema": _index(name)},
            )
    _ensure_alias(request, generation)


def _open(request: Request, generation: Generation) -> set[str]:
    """Creates the collection if it is missing; returns the payload fields that are indexed already."""
    try:
        return _checked(request, generation)
    except CollectionMissing:
        pass
    shape = {
        "vectors": {DENSE: {"size": generation.profile.dim, "distance": "Dot"}},
        "sparse_vectors": {SPARSE: {"modifier": "idf"}},
    }
    try:
        with asking(f"create {generation.backing_collection}"):
            request("PUT", path_of(generation.backing_collection), shape)
    except Terminal:
        # Another task may have created it between the two calls: then it can be read now.
        try:
            return _checked(request, generation)
        except CollectionMissing:
            pass
        raise
    return set()


def _checked(request: Request, generation: Generation) -> set[str]:
    with asking(f"describe {generation.backing_collection}"):
        answer = request("GET", path_of(generation.backing_collection))
        params = answer["config"]["params"]
        dense = (params.get("vectors") or {}).get(DENSE)
        sparse = (params.get("sparse_vectors") or {}).get(SPARSE)
        size = dense["size"] if dense else None
        indexed = {*answer["payload_schema"]}
    if size != generation.profile.dim or sparse is None:
        has = f"{size} dimensions" if dense else "other vectors"
        raise Terminal(
            f"Qdrant's collection {generation.backing_collection} has {has}; the generation needs "
            f"{generation.profile.dim} ({DENSE}) and {SPARSE}. Nothing was written. Delete that collection or "
            "use another collection name."
        )
    return indexed


def _ensure_alias(request: Request, generation: Generation) -> None:
    """Creates the alias if it is missing. An existing one stays: another step moves it to the live generation."""
    with asking("list aliases"):
        aliases = {each["alias_name"] for each in request("GET", "aliases")["aliases"]}
    if generation.collection in aliases:
        return
    create = {"collection_name": generation.backing_collection, "alias_name": generation.collection}
    with asking(f"alias {generation.collection}"):
        request("POST", "collections/aliases", {"actions": [{"create_alias": create}]})


def path_of(collection: str) -> str:
    """Returns the collection's path in the REST API, escaped."""
    return f"collections/{quote(collection, safe='')}"


def _payload_fields(generation: Generation) -> list[str]:
    return ["tenant", *_ID_FIELDS, *(f"meta.{name}" for name in generation.filter_fields)]


def _index(name: str) -> Any:
    return {"type": "keyword", "is_tenant": True} if name == "tenant" else "keyword"
