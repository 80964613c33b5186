"""A collection's configuration in three forms: of the REST API, as stored, and of the engine."""

from typing import Any

import qdrant_edge as edge

from devstack.qdrant_server.body import Json, as_object
from devstack.qdrant_server.errors import bad_format, unsupported

_DISTANCES = {
    "Cosine": edge.Distance.Cosine,
    "Euclid": edge.Distance.Euclid,
    "Dot": edge.Distance.Dot,
    "Manhattan": edge.Distance.Manhattan,
}
_DATATYPES = {
    "float32": edge.VectorStorageDatatype.Float32,
    "float16": edge.VectorStorageDatatype.Float16,
    "uint8": edge.VectorStorageDatatype.Uint8,
}
_PARAMS: Json = {"shard_number": 1, "replication_factor": 1, "write_consistency_factor": 1, "on_disk_payload": True}
_HNSW: Json = {
    "m": 16,
    "ef_construct": 100,
    "full_scan_threshold": 10000,
    "max_indexing_threads": 0,
    "on_disk": False,
}
_OPTIMIZER: Json = {
    "deleted_threshold": 0.2,
    "vacuum_min_vector_number": 1000,
    "default_segment_number": 0,
    "max_segment_size": None,
    "memmap_threshold": None,
    "indexing_threshold": 10000,
    "flush_interval_sec": 5,
    "max_optimization_threads": None,
    "prevent_unoptimized": None,
}
_WAL: Json = {"wal_capacity_mb": 32, "wal_segments_ahead": 0, "wal_retain_closed": 1}
_NO_VECTORS = "data did not match any variant of untagged enum VectorsConfig"


def from_request(body: Json) -> Json:
    """The configuration to store, in Qdrant's form, with defaults.

    Quantization is stored and shown but not applied: the engine searches the full vectors. Raises ApiError.
    """
    vectors = _vectors(body.get("vectors") or {})
    sparse = _sparse(as_object(body.get("sparse_vectors") or {}, "a map"))
    if not vectors and not sparse:
        raise unsupported("a collection without vectors")
    params: Json = {"vectors": vectors, **{name: body.get(name) or value for name, value in _PARAMS.items()}}
    if isinstance(body.get("on_disk_payload"), bool):
        params["on_disk_payload"] = body["on_disk_payload"]
    if sparse:
        params["sparse_vectors"] = sparse
    return {
        "params": params,
        "hnsw_config": _merged(_HNSW, body.get("hnsw_config")),
        "optimizer_config": _merged(_OPTIMIZER, body.get("optimizers_config")),
        "wal_config": _merged(_WAL, body.get("wal_config")),
        "quantization_config": _without_nulls(body.get("quantization_config")),
    }


def patched(config: Json, body: Json) -> Json:
    """`config` with the changes of an update request; other values stay."""
    changed = dict(config)
    for mine, theirs in (("hnsw_config", "hnsw_config"), ("optimizer_config", "optimizers_config")):
        changed[mine] = _merged(config[mine], body.get(theirs))
    changed["params"] = _merged(config["params"], body.get("params"))
    if body.get("quantization_config") is not None:
        changed["quantization_config"] = _without_nulls(body["quantization_config"])
    if body.get("vectors") or body.get("sparse_vectors"):
        raise unsupported("changing the vectors of a collection")
    return changed


def dense(config: Json) -> dict[str, Json]:
    """The dense vectors by name; the unnamed one is called ''."""
    vectors = config["params"]["vectors"]
    return {"": vectors} if "size" in vectors else vectors


def sparse(config: Json) -> dict[str, Json]:
    """The sparse vectors by name."""
    named: dict[str, Json] = config["params"].get("sparse_vectors", {})
    return named


def vector_bytes(config: Json) -> int:
    """Bytes that the dense vectors of one point take."""
    return sum(4 * int(params["size"]) for params in dense(config).values())


def engine_config(config: Json) -> edge.EdgeConfig:
    """The engine's configuration; used at creation and at every load, so that a changed setting takes effect."""
    hnsw, optimizer = config["hnsw_config"], config["optimizer_config"]
    return edge.EdgeConfig(
        vectors={name: _engine_vector(params) for name, params in dense(config).items()},
        sparse_vectors={
            name: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf if params.get("modifier") == "idf" else None)
            for name, params in sparse(config).items()
        },
        hnsw_config=edge.HnswIndexConfig(hnsw["m"], hnsw["ef_construct"], hnsw["full_scan_threshold"]),
        optimizers=edge.EdgeOptimizersConfig(
            deleted_threshold=optimizer["deleted_threshold"],
            vacuum_min_vector_number=optimizer["vacuum_min_vector_number"],
            default_segment_number=optimizer["default_segment_number"] or None,
            max_segment_size=optimizer["max_segment_size"],
            indexing_threshold=optimizer["indexing_threshold"],
        ),
    )


def _engine_vector(params: Json) -> edge.EdgeVectorParams:
    own = {**_HNSW, **params["hnsw_config"]} if params.get("hnsw_config") else None
    return edge.EdgeVectorParams(
        size=params["size"],
        distance=_DISTANCES[params["distance"]],
        datatype=_DATATYPES.get(params.get("datatype", "")),
        hnsw_config=edge.HnswIndexConfig(own["m"], own["ef_construct"], own["full_scan_threshold"]) if own else None,
    )


def _vectors(value: Any) -> Json:
    vectors = as_object(value, "a map")
    if "size" in vectors:
        return _vector(vectors)
    return {name: _vector(params) for name, params in vectors.items()}


def _vector(value: Any) -> Json:
    params = _without_nulls(value)
    size = params.get("size") if isinstance(params, dict) else None
    if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size <= 65536:
        raise bad_format(_NO_VECTORS)
    if params.get("distance") not in _DISTANCES or params.get("datatype", "float32") not in _DATATYPES:
        raise bad_format(_NO_VECTORS)
    if "multivector_config" in params:
        raise unsupported("multivectors")
    known: Json = params
    return known


def _sparse(value: Json) -> dict[str, Json]:
    named = {}
    for name, given in value.items():
        params = _without_nulls(as_object(given or {}, "struct SparseVectorParams"))
        if params.get("modifier", "none") not in ("none", "idf"):
            raise bad_format(f"unknown variant `{params['modifier']}`, expected `none` or `idf`")
        named[name] = params
    return named


def _merged(base: Json, changes: Any) -> Json:
    return {**base, **_without_nulls(as_object(changes or {}, "a map"))}


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(item) for name, item in value.items() if item is not None}
    return value
