"""The workflows and what else calls `make` on somebody's behalf: targets exist, rights and times are limited."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from unit.compose_files import ROOT, read

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.y*ml"))
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
CALLERS = (*WORKFLOWS, ROOT / ".pre-commit-config.yaml", ROOT / ".devcontainer" / "devcontainer.json")
LONGEST_MINUTES = 120


def _jobs(path: Path) -> dict[str, dict[str, Any]]:
    jobs: dict[str, dict[str, Any]] = read(path)["jobs"]
    return jobs


def _steps(path: Path) -> Iterator[dict[str, Any]]:
    for job in _jobs(path).values():
        yield from job["steps"]


def _targets() -> set[str]:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z]+):.*## \S", makefile, re.M))


def _called(path: Path) -> set[str]:
    """Targets in values that are commands; comments and names are none."""
    values = _values(json.loads(path.read_text()) if path.suffix == ".json" else read(path))
    commands = [line for value in values for line in value.splitlines() if re.match(r"\s*make ", line)]
    return {word for line in commands for word in line.split()[1:] if "=" not in word}


def _values(tree: Any) -> Iterator[str]:
    if isinstance(tree, dict):
        for each in tree.values():
            yield from _values(each)
    elif isinstance(tree, list):
        for each in tree:
            yield from _values(each)
    elif isinstance(tree, str):
        yield tree


@pytest.mark.parametrize("path", CALLERS, ids=lambda path: path.name)
def test_make_targets_exist(path: Path) -> None:
    called = _called(path)
    assert called, "it calls no target: the test would not see one that is missing"
    assert called <= _targets()


def test_ci_runs_what_developers_run() -> None:
    (ci,) = [path for path in WORKFLOWS if path.name == "ci.yml"]
    assert _called(ci) == {"lint", "test", "coverage", "wheel", "image"}
    triggers = read(ci)[True]  # YAML reads the key `on` so
    assert {"push", "pull_request"} <= {*triggers}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_rights_and_times_are_limited(path: Path) -> None:
    content = read(path)
    assert content["permissions"] == {"contents": "read"}
    assert content["concurrency"]["group"]
    for name, job in content["jobs"].items():
        assert 0 < job["timeout-minutes"] <= LONGEST_MINUTES, name
        assert "permissions" not in job, f"{name} asks for rights of its own"
        assert not job["runs-on"].endswith("-latest"), f"{name} changes its system unasked"
    assert "pull_request_target" not in content[True], "it would run a stranger's code with the project's rights"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_and_keep_no_credentials(path: Path) -> None:
    used = [step["uses"] for step in _steps(path) if "uses" in step]
    assert used
    for action in used:
        assert re.fullmatch(r"[\w.-]+/[\w./-]+@([0-9a-f]{40}|v\d+)", action), action
    names = [action.split("@")[0] for action in {*used}]
    assert len(names) == len({*names}), "one version of each action"
    checkouts = [step for step in _steps(path) if step.get("uses", "").startswith("actions/checkout@")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_what_strangers_write_is_no_part_of_a_command(path: Path) -> None:
    """A branch's or an issue's name would be run by the shell."""
    assert [step["run"] for step in _steps(path) if "${{" in step.get("run", "")] == []


def test_dependabot_looks_after_actions_and_images() -> None:
    updates = read(ROOT / ".github" / "dependabot.yml")["updates"]
    assert {"github-actions", "docker"} <= {each["package-ecosystem"] for each in updates}
    assert all(each["schedule"]["interval"] in ("weekly", "monthly") for each in updates)


@pytest.mark.parametrize("path", [path for path in FORMS if path.name != "config.yml"], ids=lambda path: path.name)
def test_issue_forms_have_fields(path: Path) -> None:
    form = read(path)
    assert form["name"] and form["description"]
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    ids = [field["id"] for field in fields]
    assert len(ids) == len(set(ids)) >= 3
    assert all(field["attributes"]["label"] for field in fields)


def test_hooks_use_the_tools_of_the_lock() -> None:
    (repository,) = read(ROOT / ".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local", "a hook from elsewhere has another version than the lock"
    for hook in repository["hooks"]:
        assert hook["language"] == "system"
        assert hook["entry"].split()[0] in (".venv/bin/ruff", "make")


def test_the_container_has_the_images_python() -> None:
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
    (python,) = set(re.findall(r"^FROM python:([\d.]+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.M))
    assert container["image"].startswith(f"python:{python}-")


def test_a_key_that_is_given_twice_is_found(tmp_path: Path) -> None:
    path = tmp_path / "twice.yml"
    path.write_text("permissions: {}\npermissions: write-all\n")
    with pytest.raises(yaml.YAMLError, match="twice"):
        read(path)
