"""The vector index on a Qdrant server."""

from sluice.adapters.qdrant.index import QdrantIndex

__all__ = ["QdrantIndex"]
