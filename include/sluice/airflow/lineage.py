"""OpenLineage events of the tasks: input and output datasets with schemas, row counts and gate results.

Datasets follow the OpenLineage naming rules (https://openlineage.io/docs/spec/naming): `file` + path,
`postgres://host:port` + db.schema.table, `qdrant://host:port` + physical collection, `neo4j://host:port` + graph.
Artefacts between tasks are named by collection and stage, `sluice` + artefacts/<collection>/<stage>, not by run. So all
runs share one graph, and each run is a version of its datasets. Events go to the ledger (`sluice.airflow.transport`);
emission never fails a task and never waits for Marquez.

In Marquez a facet on a consumer's input replaces the producer's facet of the same name. So inputs repeat the producer's
schema, and their other facets are ones that no output has.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sluice.airflow.events import safe

if TYPE_CHECKING:
    from openlineage.client.event_v2 import InputDataset, OutputDataset

    from sluice.model.gates import GateResult
    from sluice.model.run import Run
    from sluice.pipeline.stages import Stage
    from sluice.settings import Settings

log = logging.getLogger(__name__)

_FIELDS: dict[str, dict[str, str]] = {
    "documents": {"document_id": "uuid", "external_id": "text", "fingerprint": "text", "expires_at": "timestamptz"},
    "versions": {"version_id": "uuid", "document_id": "uuid", "generation": "int", "sealed_text": "bytes"},
    "chunks": {"chunk_id": "uuid", "version_id": "uuid", "text_hash": "bytes", "sealed_text": "bytes"},
    "embeddings": {"embedder": "text", "text_hash": "bytes", "vector": "float32[]"},
    "points": {"id": "uuid", "dense": "float32[]", "bm25": "sparse", "tenant": "text", "document_id": "uuid"},
    "evaluations": {"evaluation_id": "uuid", "golden_set": "text", "generation": "int", "comparison": "jsonb"},
    "graph": {"Document": "node", "Chunk": "node", "Entity": "node", "HAS_CHUNK": "edge", "MENTIONS": "edge"},
    "1-extracted": {"document_id": "uuid", "text": "sealed"},
    "2-validated": {"document_id": "uuid", "text": "sealed"},
    "3-chunked": {"document_id": "uuid", "chunk_id": "uuid[]", "text": "sealed"},
    "4-embedded": {
        "document_id": "uuid",
        "chunk_id": "uuid[]",
        "text": "sealed",
        "dense": "float32[][]",
        "bm25": "sparse[]",
    },
}
# Column lineage: output dataset → field → the input dataset (by its name above) and field that it is computed from.
_MADE_FROM: dict[str, dict[str, tuple[str, str]]] = {
    "2-validated": {"text": ("1-extracted", "text")},
    "3-chunked": {"text": ("2-validated", "text")},
    "4-embedded": {"text": ("3-chunked", "text"), "dense": ("3-chunked", "text"), "bm25": ("3-chunked", "text")},
    "embeddings": {"vector": ("3-chunked", "text")},
    "versions": {"sealed_text": ("4-embedded", "text")},
    "chunks": {"sealed_text": ("4-embedded", "text")},
    "points": {"dense": ("embeddings", "vector"), "bm25": ("4-embedded", "bm25")},
    "graph": {"Entity": ("4-embedded", "text")},
}

Name = tuple[str, str]  # namespace, name
Read = tuple[Name, str | None]  # dataset, fields
Embedded = tuple[int, int, int]  # vectors computed, vectors from the cache, tokens
Written = tuple[Name, str | None, int | None]  # dataset, fields, rows written or removed (None: not counted)


def source(run: Run) -> Name:
    """Returns the dataset of the run's source."""
    from sluice.sources.schemes import dataset_name

    namespace, name = dataset_name(run.source.spec.uri)
    return safe(namespace), safe(name)


def table(settings: Settings, name: str) -> Name:
    """Returns the dataset of a table of the ledger."""
    url = urlsplit(settings.database_url.get_secret_value())
    return f"postgres://{url.hostname}:{url.port or 5432}", f"{url.path.strip('/')}.public.{name}"


def collection(settings: Settings, run: Run) -> Name:
    """Returns the dataset of the run's backing collection in Qdrant."""
    url = urlsplit(settings.qdrant_url)
    return f"qdrant://{url.hostname}:{url.port or 6333}", safe(run.source.generation.backing_collection)


def graph(settings: Settings) -> Name:
    """Returns the dataset of the graph in Neo4j, one for all collections."""
    url = urlsplit(settings.neo4j_uri)
    return f"neo4j://{url.hostname}:{url.port or 7687}", "neo4j"


def artefact(run: Run, stage: str) -> Name:
    """Returns the dataset of a stage's artefacts, one for each collection and stage."""
    return "sluice", safe(f"artefacts/{run.source.generation.collection}/{stage}")


def of_stage(
    settings: Settings, run: Run, stage: Stage, gates: Iterable[GateResult], counts: Mapping[str, int]
) -> tuple[list[Read], list[Written], Sequence[GateResult], Embedded | None]:
    """The arguments of `emit` for a stage: datasets read, datasets written, gate results, and the cost of embedding.
    The stage that reads an artefact reports its gate, because OpenLineage has assertions for inputs only."""
    # A scan has no dataset of its own: its result is in the ledger.
    read: list[Read] = [] if "source" in stage.inputs else [(artefact(run, stage.reads.name), stage.reads.name)]
    read += [(_dataset(settings, run, name), None if name == "source" else name) for name in stage.inputs]
    written: list[Written] = []
    if stage.writes:
        written.append((artefact(run, stage.writes.name), stage.writes.name, counts["documents"]))
    for name, count in stage.outputs:
        if name != "graph" or run.source.generation.has_graph:
            written.append((_dataset(settings, run, name), name, counts.get(count, 0) if count else None))
    cost = (counts["computed"], counts["cached"], counts["tokens"]) if "tokens" in counts else None
    return read, written, [each for each in gates if each.suite == stage.reads.suite], cost


def _dataset(settings: Settings, run: Run, name: str) -> Name:
    if name == "source":
        return source(run)
    if name == "points":
        return collection(settings, run)
    return graph(settings) if name == "graph" else table(settings, name)


def emit(
    run: Run,
    inputs: Iterable[Read],
    outputs: Iterable[Written],
    gates: Sequence[GateResult] = (),
    embedded: Embedded | None = None,
) -> None:
    """Emits one event. `gates`: results of checks on the first input. An error is logged, never raised."""
    from airflow.providers.openlineage.api import emit_dataset_lineage, is_openlineage_active

    if not is_openlineage_active():
        return
    try:
        read, written = list(inputs), list(outputs)
        emit_dataset_lineage(
            inputs=[_input(*each, () if place else gates) for place, each in enumerate(read)],
            outputs=[_output(run, each, read, embedded) for each in written],
        )
    except Exception:
        log.warning("sluice: lineage was not emitted; the task continues", exc_info=True)


def _input(name: Name, fields: str | None, gates: Sequence[GateResult]) -> InputDataset:
    from openlineage.client.event_v2 import InputDataset
    from openlineage.client.facet_v2 import data_quality_assertions_dataset as quality

    from sluice.airflow import facets as ours

    facets: dict[str, Any] = _schema(fields)
    input_facets: dict[str, Any] = {}
    if gates:
        facets["sluice_suite"] = ours.suite(gates)
        input_facets["dataQualityAssertions"] = quality.DataQualityAssertionsDatasetFacet(
            assertions=[
                quality.Assertion(assertion=gate.expectation, success=gate.success, column=gate.column)
                for gate in gates
            ]
        )
    return InputDataset(namespace=name[0], name=name[1], facets=facets, inputFacets=input_facets)


def _output(run: Run, written: Written, read: Sequence[Read], embedded: Embedded | None) -> OutputDataset:
    from openlineage.client.event_v2 import OutputDataset
    from openlineage.client.facet_v2 import output_statistics_output_dataset as statistics

    from sluice.airflow import facets as ours

    name, fields, rows = written
    facets: dict[str, Any] = _schema(fields) | _columns(fields, read) | {"sluice_generation": ours.generation(run)}
    if embedded is not None:
        profile = run.source.generation.profile
        facets["sluice_embedder"] = ours.SluiceEmbedder(profile.embedder, profile.dim, *embedded)
    output_facets: dict[str, Any] = {}
    if rows is not None:
        output_facets["outputStatistics"] = statistics.OutputStatisticsOutputDatasetFacet(rowCount=rows)
    return OutputDataset(namespace=name[0], name=name[1], facets=facets, outputFacets=output_facets)


def _columns(fields: str | None, read: Sequence[Read]) -> dict[str, Any]:
    from openlineage.client.facet_v2 import column_lineage_dataset as column

    names: Mapping[str | None, Name] = {kind: name for name, kind in read}
    fields_of_output = {
        field: column.Fields(inputFields=[column.InputField(*names[kind], field=origin)])
        for field, (kind, origin) in _MADE_FROM.get(fields or "", {}).items()
        if kind in names
    }
    return {"columnLineage": column.ColumnLineageDatasetFacet(fields=fields_of_output)} if fields_of_output else {}


def _schema(fields: str | None) -> dict[str, Any]:
    from openlineage.client.facet_v2 import schema_dataset

    if fields is None:
        return {}
    columns = [schema_dataset.SchemaDatasetFacetFields(name=name, type=kind) for name, kind in _FIELDS[fields].items()]
    return {"schema": schema_dataset.SchemaDatasetFacet(fields=columns)}
