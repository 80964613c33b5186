"""`.env.example` says what the code reads, no more and no less."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.config import Config
from devstack.credentials import GENERATED
from sluice.settings import Settings
from unit import compose_files

ROOT = Path(__file__).resolve().parents[2]
READERS = ("include", "dags", "plugins", "migrations", "bench", "tests")


env_example = compose_files.env_example()


def _lines() -> dict[str, str]:
    """Variable → default, of every line of the file that sets one."""
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    return dict(re.findall(r"^# ([A-Z][A-Z0-9_]+)=(.*)$", text, flags=re.M))


def _read_by_code() -> Iterator[tuple[str, str]]:
    """(variable, file) of every whole string in the code that is the name of one of our variables."""
    for folder in READERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            # Tests name variables without reading them; what the suite reads is read in its conftest.
            if folder == "tests" and path.name != "conftest.py":
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                # A name that ends in `_` is a prefix.
                if isinstance(node, ast.Constant) and re.fullmatch(r"SLUICE_[A-Z0-9_]*[A-Z0-9]", str(node.value)):
                    yield str(node.value), path.relative_to(ROOT).as_posix()


def test_the_file_is_what_the_generator_writes() -> None:
    written = (ROOT / ".env.example").read_text(encoding="utf-8")
    assert written == env_example.render(), (
        "Write it again: PYTHONPATH=include .venv/bin/python docs/env_example.py > .env.example"
    )


def test_every_setting_stands_under_a_heading_once() -> None:
    listed = [name for _, names in env_example.setting_groups() for name in names]
    assert sorted(listed) == sorted(Settings.model_fields)


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_settings_say_what_they_are_in_what_unit(name: str) -> None:
    field = Settings.model_fields[name]
    assert field.description and field.description.endswith("."), f"{name} needs a description, a sentence"
    unit = next((unit for end, unit in UNITS.items() if name.endswith(end)), None)
    if unit:
        assert unit in field.description.lower() or unit in name, f"{name} is in {unit}: say so"


UNITS = {"_s": "seconds", "_mb": "mib", "_ms": "milliseconds", "_days": "days"}


def test_every_variable_that_code_reads_is_known() -> None:
    unknown = {f"{name} ({path})" for name, path in _read_by_code() if name not in env_example.known_names()}
    assert not unknown, "Describe them in docs/env_example.py"


def test_the_tables_hold_nothing_that_no_code_reads() -> None:
    read = {name for name, _ in _read_by_code()}
    tables = {*env_example.DEVSTACK, *env_example.SET_BY_DEVSTACK, *env_example.TESTS}
    assert tables - read == set()


def test_no_variable_is_described_twice() -> None:
    tables = (
        env_example.setting_names(),
        set(env_example.DEVSTACK),
        set(env_example.COMPOSE),
        set(env_example.ports()),
        set(env_example.compose_secrets()),
    )
    assert sum(map(len, tables)) == len(set().union(*tables)) == len(_lines())


def test_devstack_has_the_defaults_that_the_file_names() -> None:
    config = Config.from_env(Path("/nowhere"), {"HOME": "/home/someone"})
    table = {name: default for name, (default, _) in env_example.DEVSTACK.items()}
    assert table["SLUICE_AIRFLOW_PARALLELISM"] == str(config.airflow_parallelism)
    assert table["SLUICE_NEO4J_HEAP_MB"] == str(config.neo4j_heap_mb)
    assert table["SLUICE_MIN_FREE_MB"] == str(config.min_free_bytes // 2**20)
    assert Settings.model_fields["maven_mirror"].default == config.maven_mirror
    assert config.root / table["SLUICE_DAGS_FOLDER"] == config.dags_folder
    assert {f"SLUICE_PORT_{name.upper()}": port for name, port in vars(config.ports).items()} == env_example.ports()
    assert _lines()["SLUICE_HOME"] == config.home.relative_to(config.root).as_posix()


def test_the_defaults_are_accepted_as_they_stand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every line that has a value, uncommented at once, gives the settings that no file gives."""
    for name in list(_lines()):
        monkeypatch.delenv(name, raising=False)
    own = {name: value for name, value in _lines().items() if name in env_example.setting_names() and value}
    path = tmp_path / ".env"
    path.write_text("".join(f"{name}={value}\n" for name, value in own.items()), encoding="utf-8")
    assert Settings(_env_file=path) == Settings(_env_file=None)


def test_no_secret_has_a_value() -> None:
    secrets = {name for name in (*GENERATED, "SLUICE_MASTER_KEY") if not name.endswith("_USER")}
    assert {name: _lines()[name] for name in secrets} == dict.fromkeys(secrets, "")
