"""Metadata filters as searches state them: `field: scalar`, `field: [any of these]`, `field: {gt|gte|lt|lte: bound}`.

Numbers compare by value (3 equals 3.0), strings exactly, dates as moments (no offset: UTC). A metadata list matches
when one of its elements does.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sluice.errors import BadRequest

Scalar = str | int | float | bool
Bound = float | datetime
MAX_VALUES = 100
MAX_CHARS = 500
_OPERATORS = frozenset({"gt", "gte", "lt", "lte"})
_INT64 = range(-(2**63), 2**63)
_SURROGATES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class AnyOf:
    """The field holds one of `values`."""

    field: str
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Between:
    """The field lies within all `bounds` (operator → bound), which are all numbers or all moments."""

    field: str
    bounds: Mapping[str, Bound]

    @property
    def of_moments(self) -> bool:
        return all(isinstance(bound, datetime) for bound in self.bounds.values())


Condition = AnyOf | Between


def parse_filters(filters: Mapping[str, Any], declared: Sequence[str]) -> list[Condition]:
    """All must hold. Raises BadRequest on a field that is not declared or a value that cannot be compared."""
    return [_condition(name, value, declared) for name, value in filters.items()]


def moment(text: str) -> datetime:
    """ISO 8601 date or time, in UTC where it has no offset. Raises ValueError."""
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
        raise BadRequest(f"The filter on {field} lists {len(wanted)} values; 1 to {MAX_VALUES} may be.")
    return AnyOf(field, tuple(_scalar(field, value) for value in wanted))


def _scalar(field: str, value: Any) -> Scalar:
    if isinstance(value, str) and len(value) <= MAX_CHARS and "\x00" not in value and not _SURROGATES.search(value):
        return value
    if isinstance(value, int) and value in _INT64:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise BadRequest(
        f"The filter on {field} has a value that cannot be compared: {_short(value)}. Use a text of up to "
        f"{MAX_CHARS} characters, a finite 64-bit number, true or false, or a list of these."
    )


def _bounds(field: str, bounds: Mapping[str, Any]) -> dict[str, Bound]:
    if not bounds or not _OPERATORS.issuperset(bounds):
        raise BadRequest(f"The range on {field} may only have gt, gte, lt and lte, and needs at least one of them.")
    found = {operator: _bound(field, bound) for operator, bound in bounds.items()}
    if len({isinstance(bound, datetime) for bound in found.values()}) > 1:
        raise _mixed(field)
    return found


def _bound(field: str, bound: Any) -> Bound:
    value = _scalar(field, bound)
    if isinstance(value, bool):
        raise _mixed(field)
    if not isinstance(value, str):
        return float(value)
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
