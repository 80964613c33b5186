"""Checks OpenLineage events against JSON schemas.

The client's wheel has no schema files, but classes that are generated from them: each schema is made from its class
here, with what the classes do not say (required keys with a default, formats). Facets of our own have their schemas in
docs/facets.
"""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import types
import typing
from collections.abc import Iterator
from datetime import datetime
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

import attr
import jsonschema
from openlineage.client import generated
from openlineage.client.generated import base

OURS = Path(__file__).parents[2] / "docs" / "facets"
_FORMATS = {
    "eventTime": "date-time",
    "nominalStartTime": "date-time",
    "nominalEndTime": "date-time",
    "runId": "uuid",
    "producer": "uri",
    "schemaURL": "uri",
    "_producer": "uri",
    "_schemaURL": "uri",
}
# Attributes that the classes fill in and the schemas require.
_ALWAYS = frozenset({"producer", "schemaURL", "_producer", "_schemaURL"})
_SCALARS = {str: "string", int: "integer", float: "number", bool: "boolean"}
# The key of a facet is its class's name without its kind, but for these.
_KEYS = {"ProcessingEngineRunFacet": "processing_engine", "SQLJobFacet": "sql", "DatasourceDatasetFacet": "dataSource"}
# Which facets may stand where.
_PLACES = {
    ("run", "facets"): base.RunFacet,
    ("job", "facets"): base.JobFacet,
    ("dataset", "facets"): base.DatasetFacet,
    ("dataset", "inputFacets"): base.InputDatasetFacet,
    ("dataset", "outputFacets"): base.OutputDatasetFacet,
}

_checker = jsonschema.FormatChecker(formats=())


@_checker.checks("date-time", raises=ValueError)
def _is_date_time(value: object) -> bool:
    return datetime.fromisoformat(str(value)).tzinfo is not None and "T" in str(value)


@_checker.checks("uuid", raises=ValueError)
def _is_uuid(value: object) -> bool:
    return str(UUID(str(value))) == str(value).lower()


@_checker.checks("uri")
def _is_uri(value: object) -> bool:
    scheme, colon, rest = str(value).partition(":")
    return bool(scheme and colon and rest) and not any(each.isspace() for each in str(value))


def problems(event: dict[str, Any]) -> list[str]:
    """What an event does not keep of the schemas, each with its place; none: it keeps all."""
    result = _compared(event, schema(base.RunEvent), "event")
    if "eventType" not in event:
        result.append("event: a run event without eventType says nothing of the run")
    for place, kind, facets in _facets(event):
        for key, facet in facets.items():
            result += _facet_problems(f"{place}.{key}", key, kind, facet)
    return result


def _facet_problems(place: str, key: str, kind: type, facet: Any) -> list[str]:
    url = str(facet.get("_schemaURL", "")) if isinstance(facet, dict) else ""
    if key.startswith("sluice_"):
        known = json.loads((OURS / f"{key}.json").read_text())
        return [f"{place}: _schemaURL {url}"] * (url != known["$id"]) + _compared(facet, known, place)
    if not url.startswith("https://openlineage.io/"):  # a facet of somebody else: `problems` has checked the base
        return []
    cls = _classes().get(url)
    if cls is None:
        return [f"{place}: {url} is no schema of this client"]
    anywhere = cls.__module__ == base.__name__  # a facet of somebody else that has no schema of its own
    result = [] if anywhere or key == key_of(cls) else [f"{place}: {cls.__name__} stands under `{key_of(cls)}`"]
    if not issubclass(cls, kind):
        result.append(f"{place}: {cls.__name__} is no {kind.__name__}")
    return result + _compared(facet, schema(cls), place)


def _facets(event: dict[str, Any]) -> Iterator[tuple[str, type, dict[str, Any]]]:
    parts = [("run", "run", event.get("run")), ("job", "job", event.get("job"))]
    for side in ("inputs", "outputs"):
        parts += [("dataset", f"{side}[{number}]", each) for number, each in enumerate(event.get(side) or ())]
    for kind, place, part in parts:
        for (where, name), cls in _PLACES.items():
            if where == kind and isinstance(part, dict):
                yield f"{place}.{name}", cls, part.get(name) or {}


def _compared(value: Any, against: dict[str, Any], place: str) -> list[str]:
    errors = jsonschema.Draft202012Validator(against, format_checker=_checker).iter_errors(value)
    return [f"{place}{each.json_path.removeprefix('$')}: {each.message}" for each in errors]


def key_of(cls: type) -> str:
    """Under which key a facet of this class stands: `SchemaDatasetFacet` → `schema`."""
    if cls.__name__ in _KEYS:
        return _KEYS[cls.__name__]
    name = cls.__name__
    for suffix in ("InputDatasetFacet", "OutputDatasetFacet", "DatasetFacet", "RunFacet", "JobFacet"):
        name = name.removesuffix(suffix)
    return name[:1].lower() + name[1:]


@cache
def _classes() -> dict[str, type]:
    """By schema URL."""
    result = {}
    for module in pkgutil.iter_modules(generated.__path__):
        for cls in vars(importlib.import_module(f"{generated.__name__}.{module.name}")).values():
            if inspect.isclass(cls) and issubclass(cls, base.BaseFacet):
                result[cls._get_schema()] = cls
    return result


@cache
def schema(cls: type) -> dict[str, Any]:
    """The JSON schema that the generated class stands for."""
    defs: dict[str, Any] = {}
    return {**_of(cls, defs), "$defs": defs}


def _of(kind: Any, defs: dict[str, Any]) -> dict[str, Any]:
    if kind is Any:
        return {}
    if kind in _SCALARS:
        return {"type": _SCALARS[kind]}
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):  # optional: it may be absent, not null
        choices = [_of(each, defs) for each in arguments if each is not types.NoneType]
        return choices[0] if len(choices) == 1 else {"anyOf": choices}
    if origin is list:
        return {"type": "array", "items": _of(arguments[0], defs)}
    if origin is typing.Literal:
        return {"enum": list(arguments)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _of(arguments[1], defs)}
    if issubclass(kind, Enum):
        return {"enum": [each.value for each in kind]}
    name = f"{kind.__module__.rpartition('.')[2]}.{kind.__name__}"
    if name not in defs:
        defs[name] = {}  # a class may hold itself
        defs[name] |= _object(kind, defs)
    return {"$ref": f"#/$defs/{name}"}


def _object(cls: type, defs: dict[str, Any]) -> dict[str, Any]:
    hints = typing.get_type_hints(cls)
    properties = {}
    for each in attr.fields(cls):
        properties[each.name] = _of(hints[each.name], defs)
        if each.name in _FORMATS:
            properties[each.name] = {**properties[each.name], "format": _FORMATS[each.name]}
    required = [each.name for each in attr.fields(cls) if each.default is attr.NOTHING or each.name in _ALWAYS]
    return {"type": "object", "properties": properties, "required": required}
