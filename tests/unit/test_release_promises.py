"""What a release showed to its users is there: nothing that was recorded may vanish or become another.

A deliberate change: `python -m support.release_record openapi|commands|settings|dags` writes this release's recording
anew, and CHANGELOG.md says so. What changed on purpose since an older release is in `CHANGED`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from support.release_recordings import broken, read, versions

ROOT = Path(__file__).resolve().parents[2]
SURFACES = ("openapi", "commands", "settings", "dags")
CASES = [(version, what) for what in SURFACES for version in versions(what)]
_FRAMEWORK = "of the framework, whose errors are no answer of this service"
_GOLDEN = {
    f"/sluice eval/options/--{each}/required was true and is false": "--golden may take the place of the files"
    for each in ("queries", "qrels")
}
_RERANK = {
    f"/schemas/SearchBody/properties/rerank/{each} is gone": "not given: if a reranker is configured"
    for each in ("default", "type")
}
CHANGED = {
    ("0.4.1", "openapi"): _RERANK,
    ("0.5.0", "openapi"): _RERANK,
    ("0.2.0", "openapi"): {
        **_RERANK,
        "/paths//api/v1/collections/get/responses/422/application/json is gone": _FRAMEWORK,
        "/schemas/HTTPValidationError is gone": _FRAMEWORK,
        "/schemas/ValidationError is gone": _FRAMEWORK,
    },
    ("0.2.0", "commands"): {
        '/sluice sources add/options/--schedule/default was "nightly" and is null': "not given: as saved, else nightly",
        **_GOLDEN,
    },
    ("0.4.1", "commands"): _GOLDEN,
    ("0.5.0", "commands"): _GOLDEN,
    ("0.2.0", "settings"): {
        "/SLUICE_BATCH_SIZE/default was 200 and is 5000": "0.4.0: the most of a batch",
        '/SLUICE_ENTITIES/default was "spacy:en_core_web_sm" and is "phrases"': "0.4.0: of a new collection",
        "/SLUICE_POOL_SIZE/limits/minimum was 1 and is 5": "0.4.0: two stages work at once",
    },
    ("0.2.0", "dags"): {
        "/dags/sluice_ingest/params/batch_size/default was 100 and is null": "0.4.0: as fits the work",
        '/dags/sluice_ingest/params/batch_size/schema/type was "integer" and is ["integer", "null"]': "0.4.0: wider",
        **{
            f"/dags/sluice_ingest/params/{each}/schema/items/minLength is gone": "an empty line of the form is left out"
            for each in ("access_groups", "include", "exclude")
        },
    },
}


@cache
def now(what: str) -> Any:
    command = [sys.executable, str(ROOT / "tests" / "support" / "release_surface.py"), what]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_every_surface_of_this_release_is_recorded() -> None:
    version = subprocess.run(
        [sys.executable, "-m", "sluice.cli", "--version"],
        env={"PYTHONPATH": str(ROOT / "include"), "SLUICE_HOME": "nowhere"},
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout.strip()
    assert version
    assert {what for known, what in CASES if known == version} == set(SURFACES), "run python -m support.release_record"


@pytest.mark.parametrize(("version", "what"), CASES)
def test_nothing_vanishes(version: str, what: str) -> None:
    result = set(broken(read(version, what), now(what)))
    assert result == set(CHANGED.get((version, what), ()))


@pytest.mark.parametrize("version", versions("openapi"))
def test_no_route_asks_for_more(version: str) -> None:
    before, after = read(version, "openapi"), now("openapi")
    assert set(_required(after, before)) - set(_required(before, before)) == set()


@pytest.mark.parametrize("version", versions("commands"))
def test_no_command_asks_for_more(version: str) -> None:
    for name, command in read(version, "commands").items():
        assert _needed(now("commands")[name]) <= _needed(command), name


@pytest.mark.parametrize("version", versions("dags"))
def test_no_dag_asks_for_more(version: str) -> None:
    for dag_id, dag in read(version, "dags")["dags"].items():
        after = now("dags")["dags"][dag_id]
        new = {name for name, each in after["params"].items() if each["default"] == "NOTSET"} - set(dag["params"])
        assert new == set(), dag_id


def _required(document: Any, known: Any) -> Iterator[str]:
    """Of each route that is known: its required parameters, and the required properties of its body's models."""
    for path, methods in known["paths"].items():
        for method in methods:
            operation = document["paths"][path][method]
            place = f"{method} {path}"
            yield from (f"{place}: {name}" for name, each in operation["parameters"].items() if each["required"])
            if operation.get("body_required"):
                yield f"{place}: body"
            for name in sorted(_models(operation.get("body", {}), document["schemas"])):
                yield from (f"{place}: {name}.{each}" for each in document["schemas"][name].get("required", ()))


def _models(schema: Any, schemas: Any) -> set[str]:
    names = set(_references(schema))
    while more := {each for name in names for each in _references(schemas[name])} - names:
        names |= more
    return names


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key == "$ref":
                yield value.rpartition("/")[2]
            else:
                yield from _references(value)
    elif isinstance(schema, list):
        for each in schema:
            yield from _references(each)


def _needed(command: Any) -> set[str]:
    return {name for kind in ("arguments", "options") for name, each in command[kind].items() if each["required"]}
