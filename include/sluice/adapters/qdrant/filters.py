"""Qdrant filters for tenant, sources and metadata. For speed only: the ledger decides which results are shown.

Qdrant compares numbers as 64-bit floats, so a filter on very large integers also matches their neighbours. It also
reads dates in more forms than the ledger's comparison does. Where a condition is `inexact`, the result is a superset.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from qdrant_client import models

from sluice.model.filters import (
    AnyOf,
    Between,
    Condition,
    Exists,
    NoneOf,
    Scalar,
    exactly_comparable,
    inexact,
    parse_filters,
)
from sluice.model.generation import Generation
from sluice.model.search import VectorQuery


def scope(generation: Generation, query: VectorQuery) -> models.Filter:
    """Returns the filter for tenant, sources, chunks and metadata. Raises BadRequest on an invalid filter."""
    must: list[models.Condition] = [
        _equals("tenant", query.tenant),
        models.FieldCondition(key="source_id", match=models.MatchAny(any=[str(each) for each in query.sources])),
    ]
    if query.among is not None:
        must.append(models.HasIdCondition(has_id=[str(each) for each in query.among]))
    must.extend(_metadata(each) for each in parse_filters(query.filters, generation.filter_fields))
    return models.Filter(must=must)


def _metadata(condition: Condition) -> models.Condition:
    key = f"meta.{condition.field}"
    match condition:
        case AnyOf():
            return _any_of(key, condition.values)
        case NoneOf():
            # Excluding a number that Qdrant confuses with its neighbours would exclude these, too.
            return models.Filter(must_not=[_any_of(key, exactly_comparable(condition.values))])
        case Exists():
            missing = models.IsEmptyCondition(is_empty=models.PayloadField(key=key))
            return models.Filter(must_not=[missing]) if condition.exists else missing
        case Between():
            return _between(key, condition)


def _any_of(key: str, values: Sequence[Scalar]) -> models.Condition:
    if not values:
        return models.HasIdCondition(has_id=[])  # nothing
    if all(isinstance(value, str) for value in values):
        return models.FieldCondition(key=key, match=models.MatchAny(any=[str(value) for value in values]))
    return models.Filter(should=[_equals(key, value) for value in values])


def _between(key: str, condition: Between) -> models.Condition:
    if condition.of_moments:
        moments = {name: bound for name, bound in condition.bounds.items() if isinstance(bound, datetime)}
        return models.FieldCondition(key=key, range=models.DatetimeRange(**moments))
    numbers = {name: float(bound) for name, bound in condition.bounds.items() if not isinstance(bound, datetime)}
    if inexact(condition):  # a value beyond the bound may be the same float
        numbers = {f"{name[:2]}e": bound for name, bound in numbers.items()}
    return models.FieldCondition(key=key, range=models.Range(**numbers))


def _equals(key: str, value: Scalar) -> models.FieldCondition:
    if isinstance(value, (str, bool)):
        return models.FieldCondition(key=key, match=models.MatchValue(value=value))
    # A match compares integers only; a range of one value compares all numbers.
    return models.FieldCondition(key=key, range=models.Range(gte=float(value), lte=float(value)))
