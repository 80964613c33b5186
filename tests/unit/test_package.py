"""What the distribution says of itself: its dependencies, licence, files and entry point."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib import import_module
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from unit.compose_files import ROOT

EXTRAS = {"airflow", "spacy", "devstack", "dev"}


@cache
def _file() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _project() -> dict[str, Any]:
    project: dict[str, Any] = _file()["project"]
    return project


def _ranges() -> dict[str, Requirement]:
    """Name → its range, of all dependencies and extras."""
    lists = [_project()["dependencies"], *_project()["optional-dependencies"].values()]
    requirements = [Requirement(line) for lines in lists for line in lines]
    ours = [each for each in requirements if canonicalize_name(each.name) != "sluice"]
    result = {canonicalize_name(each.name): each for each in ours}
    assert len(result) == len(ours), "a package has two ranges"
    return {str(name): each for name, each in result.items()}


def _direct() -> dict[str, Requirement]:
    """Name → the line of requirements.in; without those that are never installed."""
    lines = [
        line.split(" #")[0].strip() for line in (ROOT / "requirements.in").read_text(encoding="utf-8").splitlines()
    ]
    requirements = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {str(canonicalize_name(each.name)): each for each in requirements if not each.marker}


def _locked() -> dict[str, Version]:
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    result = re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", text, re.M)
    return {str(canonicalize_name(name)): Version(version) for name, version in result}


# --- dependencies


def test_the_ranges_are_of_the_direct_dependencies() -> None:
    assert sorted(_ranges()) == sorted(_direct())


@pytest.mark.parametrize("name", sorted(_ranges()))
def test_a_range_holds_the_locked_version_and_ends(name: str) -> None:
    requirement = _ranges()[name]
    assert requirement.extras == _direct()[name].extras
    assert requirement.specifier.contains(_locked()[name]), f"the lock has {_locked()[name]}"
    operators = {each.operator for each in requirement.specifier}
    assert operators == {">=", "<"}, "a range has a tested lower end and an upper end"


def test_extras() -> None:
    extras = _project()["optional-dependencies"]
    assert {*extras} == EXTRAS
    assert all("airflow" in line for line in extras["airflow"])
    assert not [line for line in _project()["dependencies"] if "airflow" in line]
    (everything,) = [Requirement(line) for line in extras["dev"] if line.startswith("sluice")]
    assert everything.extras == EXTRAS - {"dev"}


def test_what_only_development_needs_is_in_its_extra() -> None:
    sections = re.split(r"^# --- (.+)$", (ROOT / "requirements.in").read_text(encoding="utf-8"), flags=re.M)[1:]
    bodies = dict(zip(sections[::2], sections[1::2], strict=True))
    lines = [line.split(" #")[0] for line in bodies["development"].splitlines() if line.strip()]
    development = {Requirement(line).name for line in lines if not Requirement(line).marker}
    extra = {Requirement(line).name for line in _project()["optional-dependencies"]["dev"]}
    assert extra - {"sluice"} == development | {"uv", "setuptools"}


# --- metadata


def test_the_license_is_the_standard_text_and_is_packed() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert text.lstrip().startswith("Apache License\n")
    assert "Copyright [yyyy] [name of copyright owner]" in text, "the appendix is part of the text"
    assert len(text.split()) == 1581
    assert _project()["license"] == "Apache-2.0"
    for name in _project()["license-files"]:
        assert (ROOT / name).is_file()
    assert "The Sluice authors" in (ROOT / "NOTICE").read_text(encoding="utf-8")
    assert _project()["authors"] == [{"name": "The Sluice authors"}]


def test_what_people_search_for_is_filled_in() -> None:
    project = _project()
    assert (ROOT / project["readme"]).is_file()
    assert project["keywords"] == sorted(project["keywords"])
    pythons = {each.rpartition(" ")[2] for each in project["classifiers"] if "Python :: 3." in each}
    assert pythons == {"3.11", "3.12"}
    assert project["requires-python"] == ">=3.11,<3.13"
    assert not [each for each in project["classifiers"] if each.startswith("License ::")], (
        "the licence is an expression"
    )


def test_the_command_is_there() -> None:
    module, _, function = _project()["scripts"]["sluice"].partition(":")
    assert callable(getattr(import_module(module), function))


def test_every_file_that_is_no_module_is_packed() -> None:
    package = ROOT / "include" / "sluice"
    patterns = _file()["tool"]["setuptools"]["package-data"]["sluice"]
    packed = {path for pattern in patterns for path in package.glob(pattern)}
    there = {path for path in package.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert packed == there
    assert package / "py.typed" in packed
