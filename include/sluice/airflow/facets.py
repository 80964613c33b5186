"""Sluice's own OpenLineage facets of datasets. The JSON schemas are docs/facets/<name>.json (`$id` is `_schemaURL`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import attr
from openlineage.client.generated.base import BaseFacet

if TYPE_CHECKING:
    from sluice.model.gates import GateResult
    from sluice.model.run import Run


def schema_id(name: str) -> str:
    """The URN of a facet's schema. It does not depend on where the project is hosted."""
    return f"urn:sluice:facet:{name}:1"


@attr.define
class SluiceGeneration(BaseFacet):
    """The run and the generation that wrote the dataset."""

    runId: str
    tenant: str
    collection: str
    generation: int
    physical: str
    chunker: str
    embedder: str
    entities: str
    dim: int

    @staticmethod
    def _get_schema() -> str:
        return schema_id("sluice_generation")


@attr.define
class SluiceEmbedder(BaseFacet):
    """Cost of embedding: vectors computed, vectors from the cache, and the tokens of those computed."""

    name: str
    dim: int
    computed: int
    cached: int
    tokens: int

    @staticmethod
    def _get_schema() -> str:
        return schema_id("sluice_embedder")


@attr.define
class SluiceSuite(BaseFacet):
    """Summary of a gate: number of checks, number of blocking checks, and the checks that failed."""

    suites: list[str]
    checks: int
    blocking: int
    failed: list[str]

    @staticmethod
    def _get_schema() -> str:
        return schema_id("sluice_suite")


def generation(run: Run) -> SluiceGeneration:
    target = run.source.generation
    return SluiceGeneration(
        runId=str(run.run_id),
        tenant=run.source.spec.tenant,
        collection=target.collection,
        generation=target.number,
        physical=target.backing_collection,
        chunker=target.profile.chunker,
        embedder=target.profile.embedder,
        entities=target.profile.entities,
        dim=target.profile.dim,
    )


def suite(gates: Sequence[GateResult]) -> SluiceSuite:
    return SluiceSuite(
        suites=sorted({gate.suite for gate in gates}),
        checks=len(gates),
        blocking=sum(gate.blocking for gate in gates),
        failed=[f"{gate.expectation}({gate.column or ''})" for gate in gates if not gate.success],
    )
