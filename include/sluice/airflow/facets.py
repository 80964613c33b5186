"""Sluice's own OpenLineage facets of datasets. The JSON schemas are docs/facets/<name>.json (`$id` is `_schemaURL`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, ClassVar

import attr
from openlineage.client.generated.base import BaseFacet

if TYPE_CHECKING:
    from sluice.model.gates import GateResult
    from sluice.model.run import Run


def schema_id(name: str) -> str:
    """The URN of a facet's schema. It does not depend on where the project is hosted."""
    return f"urn:sluice:facet:{name}:1"


@attr.define
class _Facet(BaseFacet):
    """A facet whose schema is named by the class attribute `_name`."""

    _name: ClassVar[str]

    @classmethod
    def _get_schema(cls) -> str:
        return schema_id(cls._name)


@attr.define
class SluiceGeneration(_Facet):
    """The run and the generation that wrote the dataset."""

    _name = "sluice_generation"
    runId: str
    tenant: str
    collection: str
    generation: int
    physical: str
    chunker: str
    embedder: str
    entities: str
    dim: int


@attr.define
class SluiceEmbedder(_Facet):
    """Cost of embedding: vectors computed, vectors from the cache, and the tokens of those computed."""

    _name = "sluice_embedder"
    name: str
    dim: int
    computed: int
    cached: int
    tokens: int


@attr.define
class SluiceSuite(_Facet):
    """Summary of a gate: number of checks, number of blocking checks, and the checks that failed."""

    _name = "sluice_suite"
    suites: list[str]
    checks: int
    blocking: int
    failed: list[str]


def generation(run: Run) -> SluiceGeneration:
    """Returns the facet of the generation that a run writes to."""
    target = run.source.generation
    return SluiceGeneration(
        runId=str(run.run_id),
        tenant=run.source.spec.tenant,
        collection=target.collection,
        generation=target.number,
        physical=target.backing_collection,
        **asdict(target.profile),
    )


def suite(gates: Sequence[GateResult]) -> SluiceSuite:
    """Returns the facet that summarises the results of a gate."""
    return SluiceSuite(
        suites=sorted({gate.suite for gate in gates}),
        checks=len(gates),
        blocking=sum(gate.blocking for gate in gates),
        failed=[f"{gate.expectation}({gate.column or ''})" for gate in gates if not gate.success],
    )
