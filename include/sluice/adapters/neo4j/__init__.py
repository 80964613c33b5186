"""The graph index on Neo4j."""

from sluice.adapters.neo4j import driver  # before any other import of the driver

__all__ = ["driver"]
