"""The floor of `make coverage` holds and only rises."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from unit.compose_files import ROOT


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("coverage_floor", ROOT / ".ci" / "coverage_floor.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "coverage-floor"
    path.write_text("70\n")
    return path


@pytest.mark.parametrize(("total", "reached"), [(69.99, False), (70.0, True), (70.9, True), (71.0, True)])
def test_it_compares(script: ModuleType, file: Path, total: float, reached: bool) -> None:
    held, line = script.compare(total, file)
    assert held is reached
    assert f"{total:.2f} %" in line and "70 %" in line
    assert file.read_text() == "70\n", "comparing writes nothing"


@pytest.mark.parametrize(("total", "floor"), [(60.0, "70"), (70.5, "70"), (73.9, "73")])
def test_it_only_rises(script: ModuleType, file: Path, total: float, floor: str) -> None:
    script.compare(total, file, raise_floor=True)
    assert file.read_text().strip() == floor


def test_the_exit_code_says_whether_it_holds(
    script: ModuleType, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert script.main(["10"], file) == 1
    assert "below the floor" in capsys.readouterr().out
    assert script.main(["90"], file) == 0


def test_the_floor_is_a_number(script: ModuleType) -> None:
    assert 0 < int(script.FLOOR.read_text()) <= 100
