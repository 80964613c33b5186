"""Vectors and graph: the stores that hold projections of the ledger."""

from __future__ import annotations

from dataclasses import dataclass

from sluice.errors import Terminal
from sluice.indexing import outbox
from sluice.model.generation import Generation
from sluice.ports.outbox import Outbox
from sluice.ports.projections import GraphIndex, VectorIndex


@dataclass(frozen=True, slots=True)
class Stores:
    """The projections, with the outbox of the chunks that they must still delete."""

    outbox: Outbox
    vectors: VectorIndex
    graph: GraphIndex | None  # None: graph is off

    def graph_of(self, generation: Generation) -> GraphIndex | None:
        """Returns the graph where this generation has one. Raises Terminal where it has one but the graph is off."""
        if not generation.has_graph:
            return None
        if self.graph is None:
            raise Terminal(
                f"Collection {generation.collection} was created with the graph on, but SLUICE_GRAPH is off now, so "
                "the graph would become outdated. Set SLUICE_GRAPH=on, or ingest into another collection. Nothing was "
                "changed."
            )
        return self.graph

    def ensure(self, generation: Generation) -> None:
        """Prepares the stores for points and contributions. To be called before the first load of a process."""
        self.vectors.ensure(generation)
        if graph := self.graph_of(generation):
            graph.ensure()

    def drain(self, generation: Generation, *, wait: bool = True) -> int:
        """Processes the outbox of the collection. Returns how many chunks were deleted; see `outbox.drain`."""
        graph = self.graph_of(generation)
        return outbox.drain(generation, outbox=self.outbox, vectors=self.vectors, graph=graph, wait=wait)

    def drop(self, generation: Generation) -> None:
        """Drops the generation from vectors and graph. Safe to repeat."""
        self.vectors.drop(generation)
        if graph := self.graph_of(generation):
            graph.drop(generation)
