"""Typed reading of JSON bodies, with Qdrant's messages for invalid values."""

import uuid
from typing import Any

from pydantic_core import from_json

from devstack.qdrant_server.errors import bad_format, invalid

Json = dict[str, Any]
PointId = int | str

_MAX_ID = 2**64 - 1


def parse(raw: bytes) -> Any:
    """The JSON value in `raw`. Raises ApiError 400 on anything else, NaN and infinities included."""
    try:
        return from_json(raw, allow_inf_nan=False, cache_strings="keys")
    except ValueError as error:
        raise bad_format(str(error)) from None


def as_object(value: Any, what: str) -> Json:
    """`value` if it is a JSON object; `what` names the expected structure."""
    if not isinstance(value, dict):
        raise bad_format(f"invalid type: {kind(value)}, expected {what}")
    return value


def as_list(value: Any) -> list[Any]:
    """`value` if it is a JSON array."""
    if not isinstance(value, list):
        raise bad_format(f"invalid type: {kind(value)}, expected a sequence")
    return value


def required(body: Json, name: str) -> Any:
    """The field `name`, which must be there and not null."""
    value = body.get(name)
    if value is None:
        raise bad_format(f"missing field `{name}`")
    return value


def count(body: Json, name: str, default: int, path: str, least: int = 1) -> int:
    """A whole number of at least `least`; `path` names the structure in the 422 for a smaller one."""
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int):
        raise bad_format(f"invalid type: {kind(value)}, expected usize")
    if value < 0:
        raise bad_format(f"invalid value: integer `{value}`, expected usize")
    if value < least:
        raise invalid(f"{path}.{name}", f"value {value} invalid, must be {least} or larger")
    return value


def flag(body: Json, name: str, default: bool) -> bool:
    """A boolean."""
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise bad_format(f"invalid type: {kind(value)}, expected a boolean")
    return value


def number(body: Json, name: str) -> float | None:
    """A number or None."""
    value = body.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise bad_format(f"invalid type: {kind(value)}, expected f32")
    return value


def text(body: Json, name: str) -> str | None:
    """A string or None."""
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise bad_format(f"invalid type: {kind(value)}, expected a string")
    return value


def strings(value: Any) -> list[str]:
    """A list of strings."""
    items = as_list(value)
    for item in items:
        if not isinstance(item, str):
            raise bad_format(f"invalid type: {kind(item)}, expected a string")
    return items


def point_id(value: Any) -> PointId:
    """A point id: an unsigned 64-bit integer, or a UUID as text (returned in its usual form)."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_ID:
        return value
    if isinstance(value, str):
        try:
            return str(uuid.UUID(value))
        except ValueError:
            pass
    shown = str(value).lower() if isinstance(value, bool) else value
    raise bad_format(f"value {shown} is not a valid point ID, valid values are either an unsigned integer or a UUID")


def point_ids(value: Any) -> list[PointId]:
    """A list of point ids."""
    return [point_id(item) for item in as_list(value)]


def kind(value: Any) -> str:
    """serde's description of `value` in error messages."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return f"boolean `{str(value).lower()}`"
    if isinstance(value, int):
        return f"integer `{value}`"
    if isinstance(value, float):
        return f"floating point `{value}`"
    if isinstance(value, str):
        return f'string "{value}"'
    return "sequence" if isinstance(value, list) else "map"
