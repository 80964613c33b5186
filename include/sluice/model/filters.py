"""Metadata filters of searches: `field: scalar`, `field: [any of these]`, `field: {gt|gte|lt|lte: bound}`.

Numbers compare by value (3 equals 3.0), strings exactly, dates as points in time (without an offset: UTC). Values of
two types never match (7 is not "7", true is not 1). A metadata list matches when one of its elements does.

A vector index compares numbers as 64-bit floats, which cannot represent all integers beyond 2^53. There it returns a
superset (`inexact`), and the search compares the ledger's metadata (`holds`).
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sluice.errors import BadRequest
from sluice.model.metadata import INTEGERS
from sluice.model.text import is_storable

Scalar = str | int | float | bool
Bound = int | float | datetime
MAX_VALUES = 100
MAX_CHARS = 500
_EXACT = 2**53  # a 64-bit float represents every smaller integer exactly


@dataclass(frozen=True, slots=True)
class AnyOf:
    """The field has one of `values`."""

    field: str
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Between:
    """The field is within all `bounds` (operator → bound), which are all numbers or all points in time."""

    field: str
    bounds: Mapping[str, Bound]

    @property
    def of_moments(self) -> bool:
        """Returns whether the bounds are times; otherwise they are numbers."""
        return all(isinstance(bound, datetime) for bound in self.bounds.values())


Condition = AnyOf | Between


def inexact(condition: Condition) -> bool:
    """Returns whether a comparison of 64-bit floats may match too many values."""
    wanted = condition.values if isinstance(condition, AnyOf) else condition.bounds.values()
    return any(isinstance(value, int | float) and abs(value) >= _EXACT for value in wanted)


def holds(condition: Condition, value: Any) -> bool:
    """Returns whether a metadata value satisfies the condition, by exact comparison."""
    values = value if isinstance(value, list | tuple) else [value]
    if isinstance(condition, AnyOf):
        return any(_same(each, wanted) for each in values for wanted in condition.values)
    return any(_within(condition, each) for each in values)


def _same(value: Any, wanted: Scalar) -> bool:
    # In Python True equals 1; in metadata it does not.
    return isinstance(value, bool) == isinstance(wanted, bool) and bool(value == wanted)


def _within(condition: Between, value: Any) -> bool:
    at: Any = value
    if condition.of_moments:
        try:
            at = moment(value)
        except (TypeError, ValueError):
            return False
    elif isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return all(_COMPARISONS[name](at, bound) for name, bound in condition.bounds.items())


_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


def parse_filters(filters: Mapping[str, Any], declared: Sequence[str]) -> list[Condition]:
    """Parses filters, all of which must hold. Raises BadRequest on an undeclared field or a value of a wrong type."""
    return [_condition(name, value, declared) for name, value in filters.items()]


def moment(text: str) -> datetime:
    """Parses an ISO 8601 date or time, in UTC where it has no offset. Raises ValueError."""
    parsed = datetime.fromisoformat(text)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _condition(field: str, wanted: Any, declared: Sequence[str]) -> Condition:
    if field not in declared:
        names = ", ".join(declared) or "none"
        raise BadRequest(f"This collection cannot be filtered on {_short(field)}; its declared fields are: {names}.")
    if isinstance(wanted, Mapping):
        return Between(field, _bounds(field, wanted))
    if not isinstance(wanted, list | tuple):
        return AnyOf(field, (_scalar(field, wanted),))
    if not 1 <= len(wanted) <= MAX_VALUES:
        raise BadRequest(f"The filter on {field} lists {len(wanted)} values; 1 to {MAX_VALUES} are allowed.")
    return AnyOf(field, tuple(_scalar(field, value) for value in wanted))


def _scalar(field: str, value: Any) -> Scalar:
    if isinstance(value, str) and len(value) <= MAX_CHARS and is_storable(value):
        return value
    if isinstance(value, int) and value in INTEGERS:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise BadRequest(
        f"The filter on {field} has a value that cannot be compared: {_short(value)}. Use a text of up to "
        f"{MAX_CHARS} characters, a finite 64-bit number, true or false, or a list of these."
    )


def _bounds(field: str, bounds: Mapping[str, Any]) -> dict[str, Bound]:
    if not bounds or not _COMPARISONS.keys() >= bounds.keys():
        raise BadRequest(f"The range on {field} may only have gt, gte, lt and lte, and needs at least one of them.")
    parsed = {name: _bound(field, bound) for name, bound in bounds.items()}
    if len({isinstance(bound, datetime) for bound in parsed.values()}) > 1:
        raise _mixed(field)
    return parsed


def _bound(field: str, bound: Any) -> Bound:
    value = _scalar(field, bound)
    if isinstance(value, bool):
        raise _mixed(field)
    if not isinstance(value, str):
        return value
    try:
        return moment(value)
    except ValueError:
        raise _mixed(field) from None


def _mixed(field: str) -> BadRequest:
    return BadRequest(
        f"The range on {field} needs numbers, or dates such as 2026-01-31 or 2026-01-31T12:00:00Z, not a mix."
    )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
