"""OpenLineage of the tasks: which dataset became which, with schema, row counts and gate results.

Datasets follow the OpenLineage naming rules (https://openlineage.io/docs/spec/naming): `file` + path,
`postgres://host:port` + db.schema.table, `qdrant://host:port` + physical collection, `neo4j://host:port` + graph.
Emission never fails or slows a task: the provider sends in the background, and errors are logged.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from openlineage.client.event_v2 import InputDataset, OutputDataset

    from sluice.model import BatchRef, GateResult, Run
    from sluice.settings import Settings

log = logging.getLogger(__name__)

# Marquez keeps rows of an event that it rejects, and its list pages break on them: only these pass.
_UNSAFE = re.compile(r"[^a-zA-Z0-9:;=/_.@+-]")

_FIELDS: dict[str, dict[str, str]] = {
    "documents": {"document_id": "uuid", "external_id": "text", "fingerprint": "text", "expires_at": "timestamptz"},
    "versions": {"version_id": "uuid", "document_id": "uuid", "generation": "int", "number": "int"},
    "chunks": {"chunk_id": "uuid", "version_id": "uuid", "start": "int", "end": "int", "text_hash": "bytes"},
    "embeddings": {"embedder": "text", "text_hash": "bytes", "vector": "float32[]"},
    "points": {"id": "uuid", "dense": "float32[]", "bm25": "sparse", "tenant": "text", "document_id": "uuid"},
    "graph": {"Document": "node", "Chunk": "node", "Entity": "node", "HAS_CHUNK": "edge", "MENTIONS": "edge"},
    "artefact": {"document_id": "uuid", "body": "sealed"},
}

Name = tuple[str, str]  # namespace, name
Written = tuple[Name, str | None, int | None]  # dataset, fields, rows written or removed (None: not counted)


def source(run: Run) -> Name:
    uri = urlsplit(run.source.spec.uri)
    return "file", safe(unquote(uri.path))


def table(settings: Settings, name: str) -> Name:
    url = urlsplit(settings.database_url.get_secret_value())
    return f"postgres://{url.hostname}:{url.port or 5432}", f"{url.path.strip('/')}.public.{name}"


def collection(settings: Settings, run: Run) -> Name:
    url = urlsplit(settings.qdrant_url)
    return f"qdrant://{url.hostname}:{url.port or 6333}", safe(run.source.generation.physical)


def graph(settings: Settings) -> Name:
    url = urlsplit(settings.neo4j_uri)
    return f"neo4j://{url.hostname}:{url.port or 7687}", "neo4j"


def artefact(ref: BatchRef, stage: str) -> Name:
    uri = urlsplit(ref.uri)
    namespace = "file" if uri.scheme in ("", "file") else f"{uri.scheme}://{uri.netloc}"
    return namespace, safe(f"{uri.path}/{stage}.parquet")


def safe(name: str) -> str:
    """Other characters become `=XX` of their UTF-8 bytes, as in quoted-printable: readable and reversible."""
    return _UNSAFE.sub(lambda found: "".join(f"={byte:02X}" for byte in found.group().encode()), name)


def emit(
    inputs: Iterable[tuple[Name, str | None]],
    outputs: Iterable[Written],
    gates: Sequence[GateResult] = (),
) -> None:
    """inputs: (dataset, fields). Gate results go to every input, the dataset that they judged."""
    from airflow.providers.openlineage.api import emit_dataset_lineage, is_openlineage_active

    if not is_openlineage_active():
        return
    try:
        emit_dataset_lineage(
            inputs=[_input(name, fields, gates) for name, fields in inputs],
            outputs=[_output(name, fields, rows) for name, fields, rows in outputs],
        )
    except Exception:
        log.warning("sluice: lineage was not emitted; the task goes on", exc_info=True)


def _input(name: Name, fields: str | None, gates: Sequence[GateResult]) -> InputDataset:
    from openlineage.client.event_v2 import InputDataset
    from openlineage.client.facet_v2 import data_quality_assertions_dataset as quality

    facets: dict[str, Any] = {}
    if gates:
        facets["dataQualityAssertions"] = quality.DataQualityAssertionsDatasetFacet(
            assertions=[
                quality.Assertion(assertion=gate.expectation, success=gate.success, column=gate.column)
                for gate in gates
            ]
        )
    return InputDataset(namespace=name[0], name=name[1], facets=_schema(fields), inputFacets=facets)


def _output(name: Name, fields: str | None, rows: int | None) -> OutputDataset:
    from openlineage.client.event_v2 import OutputDataset
    from openlineage.client.facet_v2 import output_statistics_output_dataset as statistics

    facets: dict[str, Any] = {}
    if rows is not None:
        facets["outputStatistics"] = statistics.OutputStatisticsOutputDatasetFacet(rowCount=rows)
    return OutputDataset(namespace=name[0], name=name[1], facets=_schema(fields), outputFacets=facets)


def _schema(fields: str | None) -> dict[str, Any]:
    from openlineage.client.facet_v2 import schema_dataset

    if fields is None:
        return {}
    columns = [schema_dataset.SchemaDatasetFacetFields(name=name, type=kind) for name, kind in _FIELDS[fields].items()]
    return {"schema": schema_dataset.SchemaDatasetFacet(fields=columns)}
