"""Writes `.env.example` from the typed settings, devstack's ports and the tables below.

    PYTHONPATH=include python docs/env_example.py > .env.example

A test fails if the file, the settings and the code differ.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from devstack.config import Ports
from devstack.credentials import GENERATED
from sluice.settings import Settings

HEADING = """\
Settings of Sluice, with their defaults. To change one, copy this file to `.env`, remove the `#` of the line and edit
the value. The environment takes precedence over `.env`. Only Docker Compose needs settings: devstack generates all
passwords and keys at its first start, in credentials.env below SLUICE_HOME."""

SETTINGS_ABOUT = """\
Each of these can also be the content of a file: SLUICE_X_FILE=<path> replaces SLUICE_X. If you set the URL of a store,
devstack uses that store and does not start its own. devstack sets the other URLs."""

CONNECTIONS_ABOUT = """\
The login of a source whose URI contains connection=<id> (docs/sources.md), in the form
<kind>://login:password@host:port/schema?name=value with percent-encoded parts. <ID> is the id in capitals, with `_` for
all characters except letters and digits. Under Airflow, a connection with that id takes precedence."""

PORTS_ABOUT = "TCP ports on 127.0.0.1. devstack listens there; Docker Compose publishes there."

# name → (default, what it is). In the order in which they are listed.
DEVSTACK: dict[str, tuple[str, str]] = {
    "SLUICE_QDRANT_BIN": ("", "A `qdrant` program to run; unset: the embedded server is used."),
    "SLUICE_MARQUEZ_JAR": ("", "Marquez's jar to run; unset: lineage is stored only in the ledger."),
    "SLUICE_MARQUEZ_WEB": ("", "Folder of Marquez's web page (needs node and SLUICE_MARQUEZ_JAR)."),
    "SLUICE_AIRFLOW_DATABASE_URL": ("", "A Postgres database of your own for Airflow's metadata."),
    "SLUICE_DATABASE_ANALYST_URL": ("", "Ledger, as the analysts' role, which can read only the views."),
    "SLUICE_AIRFLOW_PARALLELISM": ("4", "Task processes that run in parallel."),
    "SLUICE_NEO4J_HEAP_MB": ("512", "Neo4j's heap, in MiB."),
    "SLUICE_MIN_FREE_MB": ("2048", "Free disk space that a start needs, in MiB."),
    "SLUICE_CACHE": ("~/.cache/sluice", "Folder of downloads that all checkouts share."),
    "SLUICE_DAGS_FOLDER": ("dags", "Folder of the DAG files."),
}

COMPOSE: dict[str, tuple[str, str]] = {
    "DOCUMENTS_FOLDER": ("./docs", "Folder on this machine that sources see as file:///documents, read only."),
}

COMPOSE_SECRETS_ABOUT = """\
Docker Compose needs all of these, and SLUICE_QDRANT_API_KEY, SLUICE_NEO4J_PASSWORD and SLUICE_MASTER_KEY. The command
`sh deploy/compose/secrets.sh >> .env` generates them all. They become parts of URLs, so use only letters, digits, `-`
and `_`. Without SLUICE_MASTER_KEY and AIRFLOW__CORE__FERNET_KEY, data that was encrypted with them is unreadable:
store a copy in another place. devstack generates its own. If devstack runs in the same checkout, put these into
another file, for `docker compose --env-file`."""

# devstack sets these for its processes; users do not set them.
SET_BY_DEVSTACK: dict[str, str] = {
    "SLUICE_POSTGRES_ADMIN_URL": "Postgres as its superuser, for people and tests.",
    "SLUICE_AIRFLOW_URL": "Airflow's address.",
    "SLUICE_MARQUEZ_WEB_URL": "Marquez's web page.",
}

# Only the tests and the benchmarks read these; CONTRIBUTING.md describes them.
TESTS: dict[str, str] = {
    "SLUICE_TEST_STACK": "`external`: tests use the engines that the environment names.",
    "SLUICE_TEST_DATA": "Folder of data sets for the slow tests.",
    "SLUICE_BENCH_CHUNKS": "Sizes of the collections of `bench/queries.py`, with commas.",
    "SLUICE_BENCH_EMBEDDER": "The embedder of `bench/retrieval.py` (minilm).",
    "SLUICE_BENCH_SETS": "The data sets of `bench/retrieval.py`, with commas (all).",
    "SLUICE_PEERS": "Folder of other systems' programs that `make bench` compares with.",
}


def render() -> str:
    """The whole file."""
    parts = [_comment(HEADING)]
    for index, (title, names) in enumerate(setting_groups()):
        parts.append(f"# --- {title}")
        if index == 0:
            parts.append(_comment(SETTINGS_ABOUT))
        parts += [_entry(*setting(name)) for name in names]
    parts += ["# --- Connections of sources", f"{_comment(CONNECTIONS_ABOUT)}\n# SLUICE_CONNECTION_<ID>="]
    parts += ["# --- Ports", _comment(PORTS_ABOUT)]
    parts += [_entry(name, str(port)) for name, port in ports().items()]
    parts.append("# --- devstack: the engines and Airflow on one machine without Docker")
    parts += [_entry(name, default, about) for name, (default, about) in DEVSTACK.items()]
    parts.append("# --- Docker Compose")
    parts += [_entry(name, default, about) for name, (default, about) in COMPOSE.items()]
    parts.append(_comment(COMPOSE_SECRETS_ABOUT))
    parts += [_entry(name, default) for name, default in compose_secrets().items()]
    return "\n\n".join(_joined(parts)) + "\n"


def setting_groups() -> Iterator[tuple[str, list[str]]]:
    """The headings of `Settings` with the fields below each, in the order of the source."""
    title = "Places"
    names: list[str] = []
    for line in inspect.getsource(Settings).splitlines():
        if heading := re.fullmatch(r"    # (.+)", line):
            yield title, names
            title, names = heading[1][0].upper() + heading[1][1:], []
        elif (field := re.match(r"    (\w+): ", line)) and field[1] in Settings.model_fields:
            names.append(field[1])
    yield title, names


def setting(name: str) -> tuple[str, str, str]:
    """Variable, default as it would be written, and description with its bounds."""
    field = Settings.model_fields[name]
    about = f"{field.description or ''}{_bounds(field)}"
    return f"SLUICE_{name.upper()}", _written(field.default), about


def ports() -> dict[str, int]:
    """SLUICE_PORT_<NAME> → default."""
    return {f"SLUICE_PORT_{field.name.upper()}": int(str(field.default)) for field in fields(Ports)}


def compose_secrets() -> dict[str, str]:
    """Secrets that Docker Compose needs and devstack generates: name → default, without those that are settings."""
    settings = setting_names()
    return {name: "admin" if name == "SLUICE_ADMIN_USER" else "" for name in GENERATED if name not in settings}


def setting_names() -> set[str]:
    return {f"SLUICE_{name.upper()}" for name in Settings.model_fields}


def known_names() -> set[str]:
    """Every SLUICE_ variable that the code reads or writes, with the `_FILE` forms."""
    settings = setting_names()
    tables: tuple[Mapping[str, Any], ...] = (DEVSTACK, COMPOSE, SET_BY_DEVSTACK, TESTS, ports(), GENERATED)
    return settings | {f"{name}_FILE" for name in settings} | {name for table in tables for name in table}


def _entry(name: str, default: str, about: str = "") -> str:
    return (f"{_comment(about)}\n" if about else "") + f"# {name}={default}"


def _comment(text: str) -> str:
    return "\n".join(f"# {line}" for line in textwrap.wrap(" ".join(text.split()), width=110))


def _written(default: Any) -> str:
    if default is None or default is PydanticUndefined:
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    return default.get_secret_value() if isinstance(default, SecretStr) else str(default)


def _bounds(field: FieldInfo) -> str:
    words = {"ge": "at least {}", "gt": "more than {}", "le": "at most {}", "lt": "less than {}"}
    said = [
        text.format(getattr(rule, key)) for rule in field.metadata for key, text in words.items() if hasattr(rule, key)
    ]
    return f" ({', '.join(said)})" if said else ""


def _joined(parts: list[str]) -> Iterator[str]:
    """Ports and secrets stand close together; everything else is set apart by an empty line."""
    block: list[str] = []
    for part in parts:
        if part.startswith("# ") and "\n" not in part and "=" in part:
            block.append(part)
            continue
        if block:
            yield "\n".join(block)
            block = []
        yield part
    if block:
        yield "\n".join(block)


if __name__ == "__main__":
    print(render(), end="")
