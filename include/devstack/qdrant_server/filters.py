"""Qdrant's JSON filters as the engine's filter objects."""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy
import qdrant_edge as edge

from devstack.qdrant_server.body import Json, as_list, as_object, point_ids
from devstack.qdrant_server.errors import ApiError, bad_format, invalid, unsupported

T = TypeVar("T")

_CLAUSES = ("should", "min_should", "must", "must_not")
_FIELD_TESTS = ("match", "range", "values_count", "is_empty", "is_null")
_GEO_TESTS = ("geo_bounding_box", "geo_radius", "geo_polygon")
_BOUNDS = ("gte", "gt", "lte", "lt")
_NO_CONDITION = (
    'Expected some form of condition, which can be a field condition (like {"key": ..., "match": ... }), '
    "or some other mentioned in the documentation: "
    "https://qdrant.tech/documentation/concepts/filtering/#filtering-conditions"
)
_NO_MATCH = "data did not match any variant of untagged enum MatchInterface"


def to_filter(value: Any, path: str = "filter") -> edge.Filter | None:
    """The engine's filter, or None for null. Raises ApiError 400 for an unknown form, 422 for an empty condition.

    `path` names the place of the filter in the body, for messages.
    """
    if value is None:
        return None
    body = as_object(value, "struct Filter")
    for name in body:
        if name not in _CLAUSES:
            raise bad_format(f"unknown field `{name}`, expected one of " + ", ".join(f"`{c}`" for c in _CLAUSES))
    clauses = {name: _conditions(body.get(name), f"{path}.{name}") for name in ("must", "should", "must_not")}
    return edge.Filter(**clauses, min_should=_min_should(body.get("min_should"), f"{path}.min_should"))


def excluding(base: edge.Filter | None, ids: list[Any]) -> edge.Filter | None:
    """`base` and not one of `ids`.

    The ids join `must_not` of the filter itself, as on the real server: nested in a filter around it, its `should`
    would be joined with an outer query's in another way.
    """
    if not ids:
        return base
    others: list[Any] = [edge.HasIdCondition(set(ids))]
    if base is None:
        return edge.Filter(must_not=others)
    return edge.Filter(base.must, base.should, [*(base.must_not or []), *others], base.min_should)


def _conditions(value: Any, path: str) -> list[Any] | None:
    if value is None:
        return None
    items = value if isinstance(value, list) else [value]
    return [_condition(item, f"{path}[{index}]") for index, item in enumerate(items)]


def _min_should(value: Any, path: str) -> edge.MinShould | None:
    if value is None:
        return None
    body = as_object(value, "struct MinShould")
    least = body.get("min_count")
    if not isinstance(least, int) or isinstance(least, bool) or least < 0:
        raise bad_format("missing field `min_count`")
    return edge.MinShould(_conditions(as_list(body.get("conditions")), path) or [], least)


def _condition(value: Any, path: str) -> Any:
    body = as_object(value, "a condition") if isinstance(value, dict) else {}
    if "key" in body:
        return _field(body, path)
    if "has_id" in body:
        return edge.HasIdCondition(set(point_ids(body["has_id"])))
    if isinstance(body.get("has_vector"), str):
        return edge.HasVectorCondition(body["has_vector"])
    if "is_empty" in body:
        return edge.IsEmptyCondition(_path_of(body["is_empty"]))
    if "is_null" in body:
        return edge.IsNullCondition(_path_of(body["is_null"]))
    if "nested" in body:
        nested = as_object(body["nested"], "struct Nested")
        inner = to_filter(nested.get("filter"), f"{path}.nested.filter")
        return _guard(lambda: edge.NestedCondition(_path_of(nested), inner or edge.Filter()))
    if isinstance(value, dict) and set(body) <= set(_CLAUSES):
        return to_filter(body, path)
    raise bad_format(_NO_CONDITION)


def _path_of(value: Any) -> str:
    key = as_object(value, "struct PayloadField").get("key")
    if not isinstance(key, str):
        raise bad_format(_NO_CONDITION)
    return key


def _field(body: Json, path: str) -> edge.FieldCondition:
    for name in _GEO_TESTS:
        if body.get(name) is not None:
            raise unsupported(f"the filter condition `{name}`")
    tests = {name: body[name] for name in _FIELD_TESTS if body.get(name) is not None}
    if not tests:
        raise invalid(f"{path}.__all__", "Validation error: At least one field condition must be specified [{}]")
    if "match" in tests:
        tests["match"] = _match(tests["match"])
    if "range" in tests:
        tests["range"] = _range(tests["range"])
    if "values_count" in tests:
        bounds = as_object(tests["values_count"], "struct ValuesCount")
        tests["values_count"] = _guard(lambda: edge.ValuesCount(**{b: bounds.get(b) for b in _BOUNDS}))
    return _guard(lambda: edge.FieldCondition(_path_of(body), **tests))


def _match(value: Any) -> Any:
    body = as_object(value, "a match")
    if len(body) != 1:
        raise bad_format(_NO_MATCH)
    form, operand = next(iter(body.items()))
    if form in ("any", "except"):
        # Python's bool is an int: the engine would take `true` for 1.
        kinds = {type(item) for item in operand} if isinstance(operand, list) else {type(None)}
        if not (kinds <= {str} or kinds <= {int}):
            raise bad_format(_NO_MATCH)
        return edge.MatchAny(operand) if form == "any" else edge.MatchExcept(operand)
    if form == "value" and isinstance(operand, bool):
        # The binding tries integers before booleans and takes Python's True for 1; numpy's is no integer.
        no_integer: Any = numpy.bool_(operand)
        return edge.MatchValue(no_integer)
    if form == "value" and isinstance(operand, str | int):
        return edge.MatchValue(operand)
    texts = {"text": edge.MatchText, "text_any": edge.MatchTextAny, "phrase": edge.MatchPhrase}
    if form in texts and isinstance(operand, str):
        return texts[form](operand)
    raise bad_format(_NO_MATCH)


def _range(value: Any) -> Any:
    body = as_object(value, "a range")
    bounds = {name: body[name] for name in _BOUNDS if body.get(name) is not None}
    dated = [bound for bound in bounds.values() if isinstance(bound, str)]
    if not dated:
        return _guard(lambda: edge.RangeFloat(**bounds))
    try:
        return edge.RangeDateTime(**bounds)
    except (ValueError, TypeError):
        raise bad_format(
            f"'{dated[0]}' does not match accepted datetime format (RFC3339). Example: 2014-01-01T00:00:00Z"
        ) from None


def _guard(build: Callable[[], T]) -> T:
    try:
        return build()
    except ApiError:
        raise
    except (ValueError, TypeError, OverflowError) as error:
        raise bad_format(str(error).splitlines()[0]) from None
