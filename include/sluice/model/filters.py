"""Metadata filters of searches: `field: scalar`, `field: [any of these]`, or an object of conditions that must all
hold: `{any: […], none: […], exists: true|false, gt|gte|lt|lte: bound}`.

Numbers compare by value (3 equals 3.0), strings exactly, dates as points in time (without an offset: UTC). Values of
two types never match (7 is not "7", true is not 1). A metadata list satisfies `any` or a range if one of its elements
does, and `none` if no element is listed. A value that no filter can compare (`comparable`) counts as missing.

A vector index compares numbers as 64-bit floats, which cannot represent all integers beyond 2^53, and it reads dates in
more forms. There it returns a superset (`inexact`), and the search compares the ledger's metadata (`holds`).
"""

from __future__ import annotations

import json
import math
import operator
import re
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
MAX_COMPARED_CHARS = 200  # of a text in metadata; a longer one is prose, which no filter names in full
_BOUNDS = "numbers, or dates such as 2026-01-31 or 2026-01-31T12:00:00Z"
_EXACT = 2**53  # a 64-bit float represents every smaller integer exactly
_DATE = r"\d{4}-\d\d-\d\d"
_HOURS = r"(?:[01]\d|2[0-3])"
# The forms of dates in metadata that every store reads as the same point in time.
_MOMENT = re.compile(
    rf"{_DATE}(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{{1,9}})?(?:Z|[+-]{_HOURS}:[0-5]\d)?)?"
    rf"|T\d\d:\d\d:\d\d(?:\.\d{{1,9}})?[+-]{_HOURS}(?:[0-5]\d)?)?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class AnyOf:
    """The field has one of `values`; nothing has one of none."""

    field: str
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class NoneOf:
    """The field has none of `values`, or is missing."""

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


@dataclass(frozen=True, slots=True)
class Exists:
    """The field has a value that filters can compare (`exists`), or has none."""

    field: str
    exists: bool


Condition = AnyOf | NoneOf | Between | Exists


def comparable(value: Any) -> bool:
    """Returns whether filters can compare a metadata value: a finite float, a 64-bit integer, a boolean, a text of at
    most 200 characters, or a list of at least one of these and of nothing else."""
    if isinstance(value, list | tuple):
        return bool(value) and not any(isinstance(each, list | tuple) or not comparable(each) for each in value)
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, str):
        return len(value) <= MAX_COMPARED_CHARS
    return isinstance(value, int) and value in INTEGERS


def inexact(condition: Condition) -> bool:
    """Returns whether a vector index may match too many values: it compares 64-bit floats and reads more forms of
    dates."""
    if isinstance(condition, Exists):
        return False
    if isinstance(condition, Between):
        return condition.of_moments or any(_is_large(bound) for bound in condition.bounds.values())
    return any(_is_large(value) for value in condition.values)


def _is_large(value: Scalar | Bound) -> bool:
    return isinstance(value, int | float) and abs(value) >= _EXACT


def exactly_comparable(values: Sequence[Scalar]) -> tuple[Scalar, ...]:
    """Returns the values that a vector index never confuses with others."""
    return tuple(value for value in values if not _is_large(value))


def holds(condition: Condition, value: Any) -> bool:
    """Returns whether a metadata value satisfies the condition, by exact comparison. None: the field is missing."""
    present = comparable(value)
    if isinstance(condition, Exists):
        return present == condition.exists
    values = (value if isinstance(value, list | tuple) else [value]) if present else []
    if isinstance(condition, Between):
        return any(_within(condition, each) for each in values)
    listed = any(_same(each, wanted) for each in values for wanted in condition.values)
    return listed == isinstance(condition, AnyOf)


def _same(value: Any, wanted: Scalar) -> bool:
    # In Python True equals 1; in metadata it does not.
    return isinstance(value, bool) == isinstance(wanted, bool) and bool(value == wanted)


def _within(condition: Between, value: Any) -> bool:
    at: Any = value
    if condition.of_moments:
        if not isinstance(value, str) or not _MOMENT.fullmatch(value):
            return False
        try:
            at = moment(value)
        except ValueError:
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
_KEYS = ("any", "none", "exists", *_COMPARISONS)


def contradiction(conditions: Sequence[Condition]) -> str | None:
    """Returns why no document can satisfy all conditions; None: one may."""
    for each in conditions:
        if isinstance(each, AnyOf) and not each.values:
            return f"the list of accepted values of {each.field} is empty"
        if isinstance(each, Between) and _is_empty(each):
            return f"the range of {each.field} contains no value"
    for field in dict.fromkeys(each.field for each in conditions):
        own = [each for each in conditions if each.field == field]
        accepted = [value for each in own if isinstance(each, AnyOf) for value in each.values]
        excluded = [value for each in own if isinstance(each, NoneOf) for value in each.values]
        if accepted and all(any(_same(value, other) for other in excluded) for value in accepted):
            return f"every accepted value of {field} is also excluded"
        if Exists(field, False) in own and any(isinstance(each, AnyOf | Between) for each in own):
            return f"{field} must be missing and must have a value"
    return None


def _is_empty(condition: Between) -> bool:
    """Returns whether a lower bound is above an upper one, or equal to it while one of the two is excluded."""
    bounds: Mapping[str, Any] = condition.bounds  # all of one kind
    return any(
        low > high or (low == high and (lower, upper) != ("gte", "lte"))
        for lower, low in bounds.items()
        for upper, high in bounds.items()
        if lower.startswith("g") and upper.startswith("l")
    )


def parse_filters(filters: Mapping[str, Any], declared: Sequence[str]) -> list[Condition]:
    """Parses filters, all of which must hold. Raises BadRequest on an undeclared field or a value of a wrong type."""
    return [condition for name, value in filters.items() for condition in _conditions(name, value, declared)]


def moment(text: str) -> datetime:
    """Parses an ISO 8601 date or time, in UTC where it has no offset. Raises ValueError."""
    parsed = datetime.fromisoformat(text)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _conditions(field: str, wanted: Any, declared: Sequence[str]) -> list[Condition]:
    if field not in declared:
        names = ", ".join(declared) or "none"
        raise BadRequest(f"This collection cannot be filtered on {_short(field)}; its declared fields are: {names}.")
    if not isinstance(wanted, Mapping):
        values = wanted if isinstance(wanted, list | tuple) else [wanted]
        return [AnyOf(field, _scalars(field, values))]
    if not wanted or not set(_KEYS) >= wanted.keys():
        raise BadRequest(
            f"The condition on {field} is {_short(dict(wanted))}. Use a value, a list of accepted values, or an object "
            f"with one or more of {', '.join(_KEYS)}."
        )
    conditions: list[Condition] = []
    if "any" in wanted:
        conditions.append(AnyOf(field, _listed(field, "any", wanted["any"])))
    if "none" in wanted:
        conditions.append(NoneOf(field, _listed(field, "none", wanted["none"])))
    if "exists" in wanted:
        conditions.append(Exists(field, _boolean(field, wanted["exists"])))
    if bounds := {name: wanted[name] for name in _COMPARISONS if name in wanted}:
        conditions.append(Between(field, _bounds(field, bounds)))
    return conditions


def _listed(field: str, key: str, values: Any) -> tuple[Scalar, ...]:
    if not isinstance(values, list | tuple):
        example = "1" if isinstance(values, Mapping) else _short(values)
        raise BadRequest(f'The filter on {field} needs a list of values in {key}, e.g. {{"{key}": [{example}]}}.')
    return _scalars(field, values)


def _boolean(field: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise BadRequest(f"The filter on {field} needs true or false in exists, not {_short(value)}.")
    return value


def _scalars(field: str, values: Sequence[Any]) -> tuple[Scalar, ...]:
    if len(values) > MAX_VALUES:
        raise BadRequest(f"The filter on {field} lists {len(values):,} values; at most {MAX_VALUES} are allowed.")
    return tuple(_scalar(field, value) for value in values)


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
    parsed = {name: _bound(field, bound) for name, bound in bounds.items()}
    if len({isinstance(bound, datetime) for bound in parsed.values()}) > 1:
        raise BadRequest(f"The range on {field} has a number and a date. Use {_BOUNDS}, not a mix.")
    return parsed


def _bound(field: str, bound: Any) -> Bound:
    value = _scalar(field, bound)
    if not isinstance(value, str | bool):
        return value
    try:
        return moment(str(value)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadRequest(
            f"The range on {field} has {_short(bound)}, which is neither a number nor a date that exists. Use "
            f"{_BOUNDS}."
        ) from None


def _short(value: Any) -> str:
    """Returns the value for a message as JSON, as the caller wrote it; a long one is cut."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=str).encode("utf-8", "backslashreplace").decode()
    except (ValueError, RecursionError):
        return "a very large integer" if isinstance(value, int) else "a very deep value"
    return text if len(text) <= 80 else text[:77] + "..."
