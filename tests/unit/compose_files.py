"""Reads Compose files as Compose does: anchors, merges, interpolation. And the form that ours have to keep."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
STACK = ROOT / "docker-compose.yml"
OPENED = ROOT / "deploy" / "compose" / "stores-on-localhost.yml"

REFERENCE = re.compile(r"\$(?:\$|\{([A-Za-z_]\w*)(?:(:[-?+])([^}]*))?\})")

_NAMES = {"type": "array", "items": {"type": "string"}, "minItems": 1, "uniqueItems": True}
_SCALARS = {"type": "object", "additionalProperties": {"type": "string"}}
_DURATION = {"type": "string", "pattern": r"^\d+(s|m)$"}
_MEMORY = {"type": "object", "properties": {"memory": {"type": "string", "pattern": r"^\d+[mg]$"}}}
_VOLUME = {
    "oneOf": [
        {"type": "string", "pattern": r"^(\./)?[\w./-]+:/[\w./-]+(:ro)?$"},
        {
            "type": "object",
            "properties": {
                "type": {"enum": ["bind", "volume"]},
                "source": {"type": "string"},
                "target": {"type": "string", "pattern": "^/"},
                "read_only": {"type": "boolean"},
            },
            "required": ["type", "source", "target"],
            "additionalProperties": False,
        },
    ]
}
_SERVICE = {
    "type": "object",
    "properties": {
        "image": {"type": "string"},
        "build": {"type": "object"},
        "pull_policy": {"enum": ["never", "build"]},
        "command": _NAMES | {"uniqueItems": False},
        "user": {"type": "string"},
        "restart": {"enum": ["unless-stopped", "no"]},
        "init": {"type": "boolean"},
        "read_only": {"type": "boolean"},
        "security_opt": _NAMES,
        "cap_drop": _NAMES,
        "tmpfs": _NAMES,
        "shm_size": {"type": "string"},
        "stop_signal": {"type": "string"},
        "stop_grace_period": _DURATION,
        "logging": {"type": "object"},
        # Compose takes numbers and truth values here too, and YAML then changes how they are written.
        "environment": _SCALARS,
        "ports": _NAMES,
        "volumes": {"type": "array", "items": _VOLUME},
        "networks": _NAMES,
        "depends_on": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "properties": {
                    "condition": {
                        "enum": ["service_started", "service_healthy", "service_completed_successfully"],
                    }
                },
                "required": ["condition"],
                "additionalProperties": False,
            },
        },
        "healthcheck": {
            "oneOf": [
                {"properties": {"disable": {"const": True}}, "required": ["disable"], "additionalProperties": False},
                {
                    "properties": {
                        "test": {"type": "array", "prefixItems": [{"enum": ["CMD", "CMD-SHELL"]}], "minItems": 2},
                        "interval": _DURATION,
                        "timeout": _DURATION,
                        "start_period": _DURATION,
                        "retries": {"type": "integer", "minimum": 1},
                    },
                    "required": ["test", "interval", "timeout", "start_period", "retries"],
                    "additionalProperties": False,
                },
            ]
        },
        "deploy": {
            "type": "object",
            "properties": {
                "resources": {
                    "type": "object",
                    "properties": {"limits": _MEMORY | {"required": ["memory"]}, "reservations": _MEMORY},
                    "required": ["limits"],
                    "additionalProperties": False,
                }
            },
            "additionalProperties": False,
        },
    },
    "additionalProperties": False,
}

# The part of the Compose specification that our files use; anything else in them is a slip of the pen.
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "services": {"type": "object", "additionalProperties": _SERVICE, "minProperties": 1},
        "networks": {
            "type": "object",
            "additionalProperties": {
                "oneOf": [
                    {"type": "null"},
                    {
                        "type": "object",
                        "properties": {"internal": {"type": "boolean"}},
                        "additionalProperties": False,
                    },
                ]
            },
        },
        "volumes": {"type": "object", "additionalProperties": {"type": "null"}},
    },
    "patternProperties": {"^x-": {"type": "object"}},
    "required": ["services"],
    "additionalProperties": False,
}


class _Strict(yaml.SafeLoader):
    """Refuses a key that is given twice, which YAML would silently let win."""


def _mapping(loader: _Strict, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [key.value for key, _ in node.value]
    twice = {key for key in keys if keys.count(key) > 1}
    if twice:
        raise yaml.constructor.ConstructorError(None, None, f"given twice: {', '.join(twice)}", node.start_mark)
    loader.flatten_mapping(node)
    return {loader.construct_object(key): loader.construct_object(value, deep=True) for key, value in node.value}


_Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read(path: Path) -> dict[Any, Any]:
    """The file with its anchors and merges resolved, variables as they stand."""
    content: dict[Any, Any] = yaml.load(path.read_text(encoding="utf-8"), Loader=_Strict)
    return content


def references(value: Any) -> list[tuple[str, str, str]]:
    """(variable, `:-`, `:?`, `:+` or nothing, what follows) of every reference in a tree."""
    if isinstance(value, dict):
        return [result for each in value.values() for result in references(each)]
    if isinstance(value, list):
        return [result for each in value for result in references(each)]
    if isinstance(value, str):
        return [(result[1], result[2] or "", result[3] or "") for result in REFERENCE.finditer(value) if result[1]]
    return []


def filled(value: Any, variables: Mapping[str, str]) -> Any:
    """The tree with its variables replaced. Raises KeyError for a required one that is missing."""
    if isinstance(value, dict):
        return {key: filled(each, variables) for key, each in value.items()}
    if isinstance(value, list):
        return [filled(each, variables) for each in value]
    if not isinstance(value, str):
        return value

    def replaced(result: re.Match[str]) -> str:
        if not result[1]:
            return "$"
        given = variables.get(result[1])
        if result[2] == ":+":
            return result[3] if given else ""
        if not given and result[2] != ":-":
            raise KeyError(result[1])
        return given or result[3]

    return REFERENCE.sub(replaced, value)


def env_example() -> ModuleType:
    """docs/env_example.py, which describes every variable."""
    spec = importlib.util.spec_from_file_location("env_example", ROOT / "docs" / "env_example.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
