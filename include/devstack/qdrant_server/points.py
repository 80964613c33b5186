"""Points and vectors of a request as the engine's objects, checked against the collection first.

All points are checked first, because the engine writes an operation to its log before it applies it. A point that
cannot be stored must not be in the log, and must not leave a batch partially applied.
"""

from dataclasses import dataclass
from typing import Any

import qdrant_edge as edge

from devstack.qdrant_server import schema
from devstack.qdrant_server.body import Json, as_list, as_object, point_id, point_ids, required
from devstack.qdrant_server.errors import bad_format, invalid, unsupported, wrong_input

_NO_STRUCT = "data did not match any variant of untagged enum VectorStruct"
_MIXED = "Conversion between sparse and regular vectors failed"


@dataclass(frozen=True, slots=True)
class Names:
    """The vectors of one collection: the size of each dense one, and the names of the sparse ones."""

    dense: dict[str, int]
    sparse: frozenset[str]

    @classmethod
    def of(cls, config: Json) -> "Names":
        """The names and sizes in a kept configuration."""
        sizes = {name: int(params["size"]) for name, params in schema.dense(config).items()}
        return cls(sizes, frozenset(schema.sparse(config)))

    def check(self, name: str) -> None:
        """Raises ApiError 400 if the collection has no vector `name`."""
        if name not in self.dense and name not in self.sparse:
            raise wrong_input(f"Not existing vector name error: {name}")

    @property
    def all(self) -> list[str]:
        """Every name, dense ones first."""
        return [*self.dense, *sorted(self.sparse)]


def to_points(body: Any, names: Names) -> list[edge.Point]:
    """The points of an upsert, in either form (`points` or column-wise `batch`)."""
    body = as_object(body, "an upsert")
    if body.get("points") is not None:
        rows = as_list(body["points"])
        return [_point(as_object(row, "struct PointStruct"), names, index) for index, row in enumerate(rows)]
    if body.get("batch") is not None:
        return _columns(as_object(body["batch"], "struct Batch"), names)
    raise bad_format("Invalid PointInsertOperations format")


def to_vectors(body: Json, names: Names) -> list[edge.PointVectors]:
    """The points of an update of vectors."""
    rows = as_list(required(body, "points"))
    if not rows:
        raise invalid("points", "must specify points to update")
    return [_point_vectors(as_object(row, "struct PointVectors"), names, index) for index, row in enumerate(rows)]


def to_vector(value: Any, name: str, names: Names, path: str, suffix: str = "") -> Any:
    """One vector for the engine: a list of floats, or a SparseVector. Raises ApiError for a wrong kind or length."""
    names.check(name)
    if isinstance(value, dict):
        vector = sparse_vector(value, path)
        if name not in names.sparse:
            raise wrong_input(_MIXED)
        return vector
    if not isinstance(value, list):
        raise bad_format(_NO_STRUCT)
    if name in names.sparse:
        raise wrong_input(_MIXED)
    if value and isinstance(value[0], list):
        raise unsupported("multivectors")
    size = names.dense[name]
    if len(value) != size:
        raise wrong_input(f"Vector dimension error: expected dim: {size}, got {len(value)}{suffix}")
    return value


def sparse_vector(value: Json, path: str) -> edge.SparseVector:
    """`{"indices", "values"}` as the engine's sparse vector; indices are unique and as many as values."""
    indices, values = value.get("indices"), value.get("values")
    if not isinstance(indices, list) or not isinstance(values, list):
        raise bad_format(_NO_STRUCT)
    if len(indices) != len(values):
        raise invalid(f"{path}.values", "Validation error: must be the same length as indices [{}]")
    try:
        if len(set(indices)) != len(indices):
            raise invalid(f"{path}.indices", "Validation error: must be unique [{}]")
        return edge.SparseVector(indices, values)
    except (TypeError, OverflowError):
        raise bad_format(_NO_STRUCT) from None


def _point(row: Json, names: Names, index: int) -> Any:
    if "id" not in row:
        raise bad_format("missing field `id`")
    if "vector" not in row:
        raise bad_format("missing field `vector`")
    payload = row.get("payload")
    if payload is not None:
        as_object(payload, "a map")
    vector = _vector_struct(row["vector"], names, f"points[{index}].vector.?")
    return _build(edge.Point, point_id(row["id"]), vector, payload)


def _point_vectors(row: Json, names: Names, index: int) -> Any:
    identity = point_id(required(row, "id"))
    return _build(
        edge.PointVectors, identity, _vector_struct(row.get("vector"), names, f"points[{index}].vector.?", False)
    )


def _columns(batch: Json, names: Names) -> list[edge.Point]:
    ids, vectors, payloads = point_ids(required(batch, "ids")), required(batch, "vectors"), batch.get("payloads")
    columns = vectors if isinstance(vectors, dict) else {"": as_list(vectors)}
    for column in columns.values():
        if len(as_list(column)) != len(ids):
            raise invalid("batch.batch", f"number of ids and vectors must be equal ({len(ids)} != {len(column)})")
    if payloads is not None and len(as_list(payloads)) != len(ids):
        raise invalid("batch.batch", f"number of ids and payloads must be equal ({len(ids)} != {len(payloads)})")
    points = []
    for index, identity in enumerate(ids):
        row: Json = {"id": identity, "vector": {name: column[index] for name, column in columns.items()}}
        row["payload"] = payloads[index] if payloads else None
        points.append(_point(row, names, index))
    return points


def _vector_struct(value: Any, names: Names, path: str, named_in_errors: bool = True) -> Any:
    if isinstance(value, list):
        return to_vector(value, "", names, path, " for vector ''" if named_in_errors else "")
    if not isinstance(value, dict):
        raise bad_format(_NO_STRUCT)
    vectors = {
        name: to_vector(item, name, names, path, f" for vector '{name}'" if named_in_errors else "")
        for name, item in value.items()
    }
    return vectors[""] if list(vectors) == [""] else vectors


def _build(build: Any, *arguments: Any) -> Any:
    try:
        return build(*arguments)
    except (TypeError, ValueError, OverflowError):
        raise bad_format(_NO_STRUCT) from None
