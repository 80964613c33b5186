"""The graph index on Neo4j."""

from sluice.adapters.neo4j import driver  # first
from sluice.adapters.neo4j.graph import Neo4jGraph

__all__ = ["Neo4jGraph", "driver"]
