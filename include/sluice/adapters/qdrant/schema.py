"""The shape of a physical collection: one dense and one sparse vector a point, indexed payload, an alias.

Distance is the dot product: vectors are normalised before they arrive, so it equals the cosine, and what is stored is
what was written, which keeps the checks of norms honest (with Cosine, Qdrant normalises again and hides a bad norm).

Payload indexes are keyword indexes. Filter fields are declared by name alone, so their type is not known here: equality
of strings is served by the index; ranges and numbers are checked on the points that tenant and source left over.
"""

from __future__ import annotations

from qdrant_client import QdrantClient, models

from sluice.adapters.qdrant.failures import CollectionMissing, asking
from sluice.errors import Terminal
from sluice.model import Generation

DENSE = "dense"
SPARSE = "bm25"
_ID_FIELDS = ("source_id", "document_id")


def ensure_collection(client: QdrantClient, generation: Generation) -> None:
    """Collection, payload indexes and alias exist when this returns; what exists is kept.
    Raises Terminal where the collection is there with another shape."""
    indexed = _open(client, generation)
    missing = [name for name in _payload_fields(generation) if name not in indexed]
    for position, name in enumerate(missing, start=1):
        # Qdrant applies updates in order, so waiting for the last one waits for all.
        with asking(f"index {name} of {generation.physical}"):
            client.create_payload_index(generation.physical, name, _schema(name), wait=position == len(missing))
    _ensure_alias(client, generation)


def _open(client: QdrantClient, generation: Generation) -> set[str]:
    """The payload fields that are indexed already; creates the collection where it is missing."""
    try:
        return _checked(client, generation)
    except CollectionMissing:
        pass
    try:
        with asking(f"create {generation.physical}"):
            client.create_collection(
                generation.physical,
                vectors_config={DENSE: models.VectorParams(size=generation.profile.dim, distance=models.Distance.DOT)},
                sparse_vectors_config={SPARSE: models.SparseVectorParams(modifier=models.Modifier.IDF)},
            )
    except Terminal:
        # Another task created it between the look and the call: then the look works now.
        try:
            return _checked(client, generation)
        except CollectionMissing:
            pass
        raise
    return set()


def _checked(client: QdrantClient, generation: Generation) -> set[str]:
    with asking(f"describe {generation.physical}"):
        info = client.get_collection(generation.physical)
    vectors = info.config.params.vectors
    dense = vectors.get(DENSE) if isinstance(vectors, dict) else None
    sparse = (info.config.params.sparse_vectors or {}).get(SPARSE)
    if dense is None or sparse is None or dense.size != generation.profile.dim:
        found = f"{dense.size} dimensions" if dense else "other vectors"
        raise Terminal(
            f"Qdrant's collection {generation.physical} has {found}, the generation needs {generation.profile.dim} "
            f"({DENSE}) and {SPARSE}. Nothing was written; remove that collection or use another collection name."
        )
    return set(info.payload_schema)


def _ensure_alias(client: QdrantClient, generation: Generation) -> None:
    """An alias that is there stays: it follows the live generation, which another step switches."""
    with asking("list aliases"):
        aliases = {each.alias_name for each in client.get_aliases().aliases}
    if generation.collection in aliases:
        return
    create = models.CreateAlias(collection_name=generation.physical, alias_name=generation.collection)
    with asking(f"alias {generation.collection}"):
        client.update_collection_aliases([models.CreateAliasOperation(create_alias=create)])


def _payload_fields(generation: Generation) -> list[str]:
    return ["tenant", *_ID_FIELDS, *(f"meta.{name}" for name in generation.filter_fields)]


def _schema(name: str) -> models.PayloadSchemaType | models.KeywordIndexParams:
    if name == "tenant":
        return models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True)
    return models.PayloadSchemaType.KEYWORD
