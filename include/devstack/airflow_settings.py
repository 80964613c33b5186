"""Reads `airflow_settings.yaml` (the Astro CLI's format), fills in this machine's values, and converts it to the format
of `airflow connections | pools | variables import`."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import yaml

from devstack.errors import DevstackError

PLACEHOLDER = re.compile(r"\$\{([A-Z0-9_]+)\}")
# Keys of the Astro CLI, and Airflow's names for them.
CONNECTION_KEYS = {
    "conn_id": "",
    "conn_type": "conn_type",
    "conn_host": "host",
    "conn_schema": "schema",
    "conn_login": "login",
    "conn_password": "password",
    "conn_port": "port",
    "conn_uri": "uri",
    "conn_extra": "extra",
}
# Shown in Airflow's list of connections. The Astro CLI's format has no key for it.
DESCRIPTIONS = {
    "sluice_ledger": "Ledger: sources, documents, versions, runs (the application's role)",
    "sluice_keys": "Wrapped keys of documents and tenants, apart from the data",
    "sluice_qdrant": "Vector index; the password is the API key",
    "sluice_neo4j": "Knowledge graph",
    "sluice_redis": "Redis or Valkey: the cache of searches",
}
POOL_KEYS = {"pool_name", "pool_slot", "pool_description"}
VARIABLE_KEYS = {"variable_name", "variable_value"}


@dataclass(frozen=True)
class AirflowSettings:
    """By name, in the format of Airflow's import commands. `skipped`: connections without a server here."""

    connections: dict[str, dict[str, Any]]
    pools: dict[str, dict[str, Any]]
    variables: dict[str, Any]
    skipped: tuple[str, ...] = ()


def load(path: Path, values: Mapping[str, str]) -> AirflowSettings:
    """Reads the file and replaces each ${NAME}. Raises DevstackError for keys that the Astro CLI does not know."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, yaml.YAMLError) as error:
        raise DevstackError(f"{path} cannot be read: {error}") from error
    sections = content.get("airflow") if isinstance(content, dict) else None
    if not isinstance(sections, dict) or set(sections) - {"connections", "pools", "variables"}:
        raise DevstackError(f"{path} must hold `airflow:` with connections, pools and variables, and nothing else.")
    known = {**split_urls(values), **values}
    connections, skipped = {}, []
    for entry in _entries(path, sections, "connections", set(CONNECTION_KEYS), "conn_id"):
        if missing := sorted(_names_in(entry) - set(known)):
            skipped.append(f"{entry['conn_id']} ({', '.join(missing)} not set)")
        else:
            connections[entry["conn_id"]] = _connection(path, _filled(entry, known))
    return AirflowSettings(
        connections=connections,
        pools={
            entry["pool_name"]: {
                "slots": int(entry.get("pool_slot", 1)),
                "description": str(entry.get("pool_description", "")),
                "include_deferred": False,
            }
            for entry in _entries(path, sections, "pools", POOL_KEYS, "pool_name")
        },
        variables={
            entry["variable_name"]: _filled(entry, known).get("variable_value")
            for entry in _entries(path, sections, "variables", VARIABLE_KEYS, "variable_name")
        },
        skipped=tuple(skipped),
    )


def split_urls(values: Mapping[str, str]) -> dict[str, str]:
    """The parts of each X_URL and X_URI as X_SCHEME, _HOST, _PORT, _USER, _PASSWORD, _NAME and _OPTIONS (JSON)."""
    parts: dict[str, str] = {}
    for name, value in values.items():
        stem, _, ending = name.rpartition("_")
        if ending not in ("URL", "URI"):
            continue
        url = urlsplit(value)
        parts |= {
            f"{stem}_SCHEME": url.scheme,
            f"{stem}_HOST": url.hostname or "",
            f"{stem}_PORT": str(url.port or ""),
            f"{stem}_USER": unquote(url.username or ""),
            f"{stem}_PASSWORD": unquote(url.password or ""),
            f"{stem}_NAME": unquote(url.path.lstrip("/")),
            f"{stem}_OPTIONS": json.dumps(dict(parse_qsl(url.query))),
        }
    return parts


def _entries(
    path: Path, sections: Mapping[str, Any], section: str, allowed: set[str], name_key: str
) -> list[dict[str, Any]]:
    entries = sections.get(section) or []
    for entry in entries:
        if not isinstance(entry, dict) or not entry.get(name_key):
            raise DevstackError(f"{path}: each of {section} needs a {name_key}.")
        if unknown := set(entry) - allowed:
            raise DevstackError(f"{path}: {entry[name_key]} has keys that the Astro CLI does not know: {unknown}.")
    return list(entries)


def _connection(path: Path, entry: dict[str, Any]) -> dict[str, Any]:
    fields = {
        CONNECTION_KEYS[key]: value for key, value in entry.items() if key != "conn_id" and value not in ("", None)
    }
    if "uri" in fields:
        raise DevstackError(
            f"{path}: {entry['conn_id']} uses conn_uri; give its host, port and so on in their own keys."
        )
    if not fields.get("conn_type"):
        raise DevstackError(f"{path}: {entry['conn_id']} needs a conn_type.")
    if description := DESCRIPTIONS.get(entry["conn_id"]):
        fields["description"] = description
    if "port" in fields:
        fields["port"] = int(fields["port"])
    extra = fields.get("extra")
    if isinstance(extra, dict):
        fields["extra"] = json.dumps(extra)
    return fields


def _filled(value: Any, known: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(inner, known) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, known) for inner in value]
    return PLACEHOLDER.sub(lambda match: known[match.group(1)], value) if isinstance(value, str) else value


def _names_in(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set().union(*map(_names_in, value.values())) if value else set()
    return set(PLACEHOLDER.findall(value)) if isinstance(value, str) else set()
